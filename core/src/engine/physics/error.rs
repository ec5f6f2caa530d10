//! error

/// A field of a row that can't be, or that does not fit the other rows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct BuildError {
    pub field: String,
    pub why: String,
}

impl BuildError {
    pub fn new(field: impl Into<String>, why: String) -> Self {
        Self { field: field.into(), why }
    }
}
