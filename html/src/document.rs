//! What a report says, in the order in which it is read.

use crate::plot::Plot;
use warmpath_sheet::Page;

/// A report.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// What it is about, in one line.
    pub title: String,
    /// What was asked, in one line; may be empty.
    pub asked: String,
    /// What was found.
    pub answer: Answer,
    /// Plots by section.
    pub sections: Vec<Section>,
    /// All tables and paragraphs.
    pub page: Page,
    /// What the figures rest on, as names and values.
    pub made: Vec<(String, String)>,
}

/// What was found, in words.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The answer in one sentence; may be empty.
    pub headline: String,
    /// A few figures that belong to it.
    pub facts: Vec<Fact>,
    /// Further sentences.
    pub more: Vec<String>,
    /// What makes the figures doubtful.
    pub warnings: Vec<String>,
}

/// One figure of the answer.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What it answers: "How sure".
    pub label: String,
    /// The figure with its unit.
    pub value: String,
    /// What it means, in a sentence.
    pub note: String,
}

/// Plots that belong together.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What its plots have in common, in a sentence; may be empty.
    pub note: String,
    /// In order.
    pub plots: Vec<Plot>,
}

impl Fact {
    /// A figure with what it answers and what it means.
    pub fn new(
        label: impl Into<String>,
        value: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { label: label.into(), value: value.into(), note: note.into() }
    }
}

impl Document {
    /// Adds a section, unless it has no plot with data.
    pub fn section(
        &mut self,
        title: impl Into<String>,
        note: impl Into<String>,
        plots: impl IntoIterator<Item = Plot>,
    ) {
        let plots: Vec<Plot> = plots.into_iter().filter(|plot| !plot.is_empty()).collect();
        if !plots.is_empty() {
            self.sections.push(Section { title: title.into(), note: note.into(), plots });
        }
    }
}
