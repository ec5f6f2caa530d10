//! Lines and fields for the readers of all formats. An error has the line, the field, its value and
//! what was expected.

use super::error::TraceError;
use serde_json::{Map, Value};

/// The most tokens of a prompt or an answer, far above real ones.
pub const MAX_TOKENS: u64 = 1 << 24;
/// Ten years in milliseconds.
pub const MAX_MS: u64 = 10 * 365 * 24 * 3_600 * 1_000;

/// The lines that are not blank, with their numbers from 1. A byte order mark is removed.
pub fn numbered<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (usize, &'a str)> {
    let clean = |(i, text): (usize, &'a str)| {
        let text = if i == 0 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        (i + 1, text.trim())
    };
    lines.enumerate().map(clean).filter(|(_, text)| !text.is_empty())
}

pub fn parse_object(line: usize, text: &str) -> Result<Map<String, Value>, TraceError> {
    // Serde counts lines within this one line, so its line number is always 1. Drop it.
    let why =
        |error: serde_json::Error| error.to_string().replace(" at line 1 column ", " at column ");
    serde_json::from_str(text).map_err(|error| TraceError::NotJson { line, why: why(error) })
}

/// The fields of an object in a line.
#[derive(Debug)]
pub struct Fields<'a> {
    line: usize,
    /// The path of the object in the line: empty, or like "requests\[3\].".
    within: String,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub fn new(line: usize, object: &'a Map<String, Value>) -> Self {
        Self { line, within: String::new(), object }
    }

    /// The object that is item `i` of the list `field`.
    pub fn item(&self, field: &str, i: usize, value: &'a Value) -> Result<Self, TraceError> {
        let within = format!("{}{field}[{i}].", self.within);
        let object = value.as_object().ok_or_else(|| {
            self.err(&format!("{field}[{i}]"), format!("{}, expected an object", brief(value)))
        })?;
        Ok(Self { line: self.line, within, object })
    }

    /// The object in a field.
    pub fn object(&self, field: &str) -> Result<Self, TraceError> {
        let expected = "expected an object";
        let value = self.get(field, expected)?;
        let object = value
            .as_object()
            .ok_or_else(|| self.err(field, format!("{}, {expected}", brief(value))))?;
        Ok(Self { line: self.line, within: format!("{}{field}.", self.within), object })
    }

    /// An error about a field. `why` has the value and what was expected.
    pub fn err(&self, field: &str, why: String) -> TraceError {
        TraceError::Field { line: self.line, field: format!("{}{field}", self.within), why }
    }

    /// Whether there is such a field and it is not null.
    pub fn is_set(&self, field: &str) -> bool {
        self.object.get(field).is_some_and(|value| !value.is_null())
    }

    /// Whether there is such a field, null or not.
    pub fn has(&self, field: &str) -> bool {
        self.object.contains_key(field)
    }

    fn get(&self, field: &str, expected: &str) -> Result<&'a Value, TraceError> {
        let missing = || self.err(field, format!("missing, {expected}"));
        self.object.get(field).ok_or_else(missing)
    }

    /// A whole number in a range.
    pub fn number(&self, field: &str, least: u64, most: u64) -> Result<u64, TraceError> {
        let expected = format!("expected a whole number from {least} to {most}");
        let value = self.get(field, &expected)?;
        let fits = value.as_u64().filter(|number| (least..=most).contains(number));
        fits.ok_or_else(|| self.err(field, format!("{}, {expected}", brief(value))))
    }

    /// A whole number that may be missing or null.
    pub fn maybe_number(
        &self,
        field: &str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, TraceError> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.number(field, least, most).map(Some),
        }
    }

    /// A number with or without a fraction, rounded.
    pub fn rounded(&self, field: &str, least: u64, most: u64) -> Result<u64, TraceError> {
        let expected = format!("expected a number from {least} to {most}");
        let value = self.get(field, &expected)?;
        let fits = value.as_f64().filter(|number| (least as f64..=most as f64).contains(number));
        let number =
            fits.ok_or_else(|| self.err(field, format!("{}, {expected}", brief(value))))?;
        Ok(libm::round(number) as u64)
    }

    /// A string.
    pub fn text(&self, field: &str) -> Result<&'a str, TraceError> {
        let expected = "expected a string";
        let value = self.get(field, expected)?;
        value.as_str().ok_or_else(|| self.err(field, format!("{}, {expected}", brief(value))))
    }

    /// A list. `of` names its items in the error.
    pub fn list(&self, field: &str, of: &str) -> Result<&'a [Value], TraceError> {
        let expected = format!("expected a list of {of}");
        match self.get(field, &expected)? {
            Value::Array(items) => Ok(items),
            other => Err(self.err(field, format!("{}, {expected}", brief(other)))),
        }
    }
}

/// A value for an error text.
pub fn brief(value: &Value) -> String {
    shorten(&value.to_string())
}

/// The first 40 characters of a text.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}
