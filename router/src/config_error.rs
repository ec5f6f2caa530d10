//! A setting that cannot be used.

/// A field of the configuration with a value that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct ConfigError {
    /// The field's path, as `tenants[1].token`.
    pub field: String,
    /// What is wrong, and what was expected.
    pub why: String,
}
