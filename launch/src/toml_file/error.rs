//! An error of one reading.

use super::words::{expected, found};
use crate::names::{near, perhaps};
use serde::de::{Expected, Unexpected};
use std::fmt::Display;

/// Where reading ended, and why.
#[derive(Debug)]
pub struct Error {
    /// The field, such as `group[1].workers`. Empty: the whole file, or not known yet.
    pub path: String,
    /// The byte where it stands.
    pub start: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// A field that the file must have.
    Missing,
    /// A value that was made up for a missing field cannot be used.
    MadeUp,
    /// A key that is not known, with the fields that it may be a slip of.
    Unknown {
        why: String,
        near: Vec<&'static str>,
    },
    Other(String),
}

impl Error {
    pub fn other(why: impl Into<String>) -> Self {
        Self { path: String::new(), start: 0, kind: Kind::Other(why.into()) }
    }

    /// The place, unless a deeper one is known.
    #[must_use]
    pub fn at(mut self, path: &str, start: usize) -> Self {
        match self.kind {
            // The error has the field alone, and the table knows where it stands.
            Kind::Missing if !self.path.starts_with('.') => {}
            Kind::Missing => {
                let field = self.path.trim_start_matches('.');
                self.path =
                    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
                self.start = start;
            }
            _ if self.path.is_empty() => (self.path, self.start) = (path.to_owned(), start),
            _ => {}
        }
        self
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::Missing => write!(f, "missing {}", self.path),
            Kind::MadeUp => f.write_str("made up"),
            Kind::Unknown { why, .. } | Kind::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::other(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::other(format!("{}, expected {}", found(&unexpected), expected(&wanted.to_string())))
    }

    fn invalid_value(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, wanted)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let perhaps = perhaps(variant, known.iter().copied());
        Self::other(format!("\"{variant}\" is unknown{perhaps}; expected {}", known.join(", ")))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let near = near(field, known.iter().copied());
        let perhaps = perhaps(field, known.iter().copied());
        let why = format!("unknown field `{field}`{perhaps}; known are {}", known.join(", "));
        Self { kind: Kind::Unknown { why, near }, ..Self::other("") }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { path: format!(".{field}"), start: 0, kind: Kind::Missing }
    }
}
