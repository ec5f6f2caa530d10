//! Texts that no log and no report may show.

use serde::Deserialize;
use std::fmt;

/// A secret text. It has no `Display`, its `Debug` hides it, and it can be deserialized but not
/// serialized.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to send it or to hash it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// For the value of a flag.
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
