//! A text whose figures all go through [`Advice::figure`], so that the JSON has each of them with a
//! name and its full value. Names in quotes are not figures.

use crate::report::amount;
use serde::Serialize;

/// One figure of the text.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    /// As the text shows it.
    pub shown: String,
}

#[derive(Default, Debug)]
pub struct Advice {
    pub text: String,
    pub figures: Vec<Figure>,
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
        self.figure(name, value, with_commas(value))
    }

    pub fn amount(&mut self, name: &str, value: f64) -> String {
        self.figure(name, value, amount(value))
    }

    pub fn usd(&mut self, name: &str, value: f64) -> String {
        let shown = if value >= 100.0 { with_commas(value) } else { amount(value) };
        self.figure(name, value, shown)
    }

    pub fn say(&mut self, line: &str) {
        self.text += line;
        self.text += "\n";
    }
}

fn with_commas(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
