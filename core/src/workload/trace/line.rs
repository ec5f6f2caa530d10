//! Lines and fields for the readers of all formats. An error has the line, the field, its value and
//! what was expected.

use super::error::TraceError;
use serde_json::{Map, Value};

/// The most tokens of a prompt or an answer, far above real ones.
pub const MAX_TOKENS: u64 = 1 << 24;
/// What a length must be.
pub const LENGTH: &str = "expected a whole number from 0 to 16777216";
/// Ten years in milliseconds.
pub const MAX_MS: u64 = 10 * 365 * 24 * 3_600 * 1_000;

/// The lines that are not blank, with their numbers from 1.
pub fn numbered<S: AsRef<str>>(lines: impl Iterator<Item = S>) -> impl Iterator<Item = Line<S>> {
    let number = |(i, text): (usize, S)| Line { number: i + 1, text };
    lines.enumerate().map(number).filter(|line| !line.text().is_empty())
}

/// A line of a file.
#[derive(Debug)]
pub struct Line<S> {
    /// From 1.
    pub number: usize,
    text: S,
}

impl<S: AsRef<str>> Line<S> {
    /// The text without a byte order mark and without spaces around it.
    pub fn text(&self) -> &str {
        self.text.as_ref().trim_start_matches('\u{feff}').trim()
    }
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

    /// The same object.
    pub fn object_itself(&self) -> Self {
        Self { line: self.line, within: self.within.clone(), object: self.object }
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

    /// A number with or without a fraction. None: missing or null.
    pub fn maybe_decimal(
        &self,
        field: &str,
        least: f64,
        most: f64,
    ) -> Result<Option<f64>, TraceError> {
        let Some(value) = self.object.get(field).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let fits = value.as_f64().filter(|number| (least..=most).contains(number));
        let expected = match most < 1e18 {
            true => format!("from {least} to {most}"),
            false => format!("of {least} or more"),
        };
        let why = || format!("{}, expected a number {expected}", brief(value));
        fits.map(Some).ok_or_else(|| self.err(field, why()))
    }

    /// A length in tokens: a whole number, also as 44.0. A length of 0 is played as 1, because a
    /// prompt and an answer have at least one token.
    pub fn length(&self, field: &str) -> Result<u32, TraceError> {
        let value = self.get(field, LENGTH)?;
        let number = value.as_f64().filter(|number| {
            libm::floor(*number) == *number && (0.0..=MAX_TOKENS as f64).contains(number)
        });
        let why = || format!("{}, {LENGTH}", brief(value));
        number.map(|tokens| tokens.max(1.0) as u32).ok_or_else(|| self.err(field, why()))
    }

    /// A name: a string or a whole number. None: missing or null.
    pub fn maybe_name(&self, field: &str) -> Result<Option<String>, TraceError> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => Ok(Some(name.clone())),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                Ok(Some(number.to_string()))
            }
            Some(other) => {
                let why = format!("{}, expected a string or a whole number", brief(other));
                Err(self.err(field, why))
            }
        }
    }

    /// The priority: a whole number of 32 bits. 0: missing or null.
    pub fn priority(&self) -> Result<i32, TraceError> {
        let Some(value) = self.said("priority") else { return Ok(0) };
        let fits = value.as_i64().and_then(|number| i32::try_from(number).ok());
        let why = || format!("{}, expected a whole number of 32 bits", brief(value));
        fits.ok_or_else(|| self.err("priority", why()))
    }

    /// The value of a field, if it says something: not null, not an empty string, list or object.
    pub fn said(&self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        })
    }

    /// The names of the fields that say something and are not among `known`.
    pub fn others<'b>(&'b self, known: &'b [&str]) -> impl Iterator<Item = &'a str> + 'b {
        let names = self.object.keys().map(String::as_str);
        names.filter(move |name| !known.contains(name) && self.said(name).is_some())
    }

    /// The line.
    pub const fn line(&self) -> usize {
        self.line
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
