//! What must stand in no log and no report.

use serde::Deserialize;
use std::fmt;

/// A text that prints as nothing and is never written: it has no `Display`, and can be read from a
/// file but not serialized.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For who must send it, or hash it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// As a flag's value.
impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
