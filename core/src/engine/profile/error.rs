//! error

/// A field of a profile that can't be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct ProfileError {
    pub field: &'static str,
    pub why: String,
}
