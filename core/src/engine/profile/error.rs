//! The error of a profile.

/// A field of a profile that is out of range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct ProfileError {
    /// The field, such as `step.base_ns`.
    pub field: &'static str,
    /// The value, and what was expected.
    pub why: String,
}
