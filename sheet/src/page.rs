//! A report: sheets and paragraphs in the order in which they are read.

use crate::sheet::Sheet;

/// Sheets and paragraphs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    /// In the order in which they are read.
    pub parts: Vec<Part>,
}

/// A piece of a report.
#[derive(Clone, PartialEq, Debug)]
pub enum Part {
    /// A table with its notes.
    Sheet(Sheet),
    /// Lines of prose; none of them ends in a line feed.
    Prose(Vec<String>),
}

impl Page {
    /// Adds a sheet. Of a sheet without rows only the notes are added.
    pub fn sheet(&mut self, sheet: Sheet) {
        if sheet.is_empty() {
            self.prose(sheet.notes);
        } else {
            self.parts.push(Part::Sheet(sheet));
        }
    }

    /// Adds a paragraph of one or more lines, unless it is empty.
    pub fn prose<L: Into<String>>(&mut self, lines: impl IntoIterator<Item = L>) {
        let lines: Vec<String> = lines.into_iter().map(Into::into).collect();
        if !lines.is_empty() {
            self.parts.push(Part::Prose(lines));
        }
    }

    /// Its sheets, in order.
    pub fn sheets(&self) -> impl Iterator<Item = &Sheet> {
        self.parts.iter().filter_map(|part| match part {
            Part::Sheet(sheet) => Some(sheet),
            Part::Prose(_) => None,
        })
    }
}
