//! The error of the three files that make a profile.

/// A field of a device, model or deployment that is out of range or does not fit the others.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct BuildError {
    /// The field as it is named in the file, such as `precision.fp8.gemm.compute`.
    pub field: String,
    /// The value, and what was expected.
    pub why: String,
}

impl BuildError {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, why: String) -> Self {
        Self { field: field.into(), why }
    }
}
