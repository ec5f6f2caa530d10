//! A text whose figures all go through [`Advice::figure`], so that the JSON has each of them with a
//! name and its full value. Names in quotes are not figures.

use serde::Serialize;
use warmpath_sheet::{Format, Page, Sheet, Style, amount};

/// One figure of the text.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    /// As the text shows it.
    pub shown: String,
}

/// The advice while it is written.
#[derive(Default, Debug)]
pub struct Advice {
    page: Page,
    /// The paragraph that is not ended yet.
    paragraph: Vec<String>,
    figures: Vec<Figure>,
}

impl Advice {
    pub fn figure(&mut self, name: &str, value: f64, shown: String) -> String {
        self.figures.push(Figure { name: name.to_owned(), value, shown: shown.clone() });
        shown
    }

    pub fn percent(&mut self, name: &str, share: f64) -> String {
        let text = self.figure(name, share * 100.0, format!("{:.1}", share * 100.0));
        format!("{text} %")
    }

    /// A whole number with commas.
    pub fn count(&mut self, name: &str, value: f64) -> String {
        self.figure(name, value, Format::of(Style::Commas).number(value))
    }

    pub fn amount(&mut self, name: &str, value: f64) -> String {
        self.figure(name, value, amount(value))
    }

    /// An amount with its unit, or a dash: a figure over nothing is not among the figures.
    pub fn known(&mut self, name: &str, value: Option<f64>, unit: &str) -> String {
        match value {
            Some(value) => format!("{} {unit}", self.amount(name, value)),
            None => "-".to_owned(),
        }
    }

    /// A share in percent, or a dash.
    pub fn known_percent(&mut self, name: &str, share: Option<f64>) -> String {
        share.map_or_else(|| "-".to_owned(), |share| self.percent(name, share))
    }

    pub fn usd(&mut self, name: &str, value: f64) -> String {
        self.figure(name, value, Format::of(Style::Money).number(value))
    }

    /// Adds a line; an empty one ends the paragraph, and so does a line feed at its end.
    pub fn say(&mut self, line: &str) {
        let text = line.trim_end_matches('\n');
        if !text.is_empty() {
            self.paragraph.push(text.to_owned());
        }
        if text.len() < line.len() || text.is_empty() {
            self.end_paragraph();
        }
    }

    /// Adds a table.
    pub fn sheet(&mut self, sheet: Sheet) {
        self.end_paragraph();
        self.page.sheet(sheet);
    }

    fn end_paragraph(&mut self) {
        self.page.prose(std::mem::take(&mut self.paragraph));
    }

    /// The page, and every figure in it.
    pub fn finish(mut self) -> (Page, Vec<Figure>) {
        self.end_paragraph();
        (self.page, self.figures)
    }
}
