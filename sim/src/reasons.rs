//! Why a request failed, as reports count it.

use warmpath_core::engine::SubmitError;

/// Why its worker did not take it.
pub fn refusal(error: SubmitError) -> &'static str {
    match error {
        SubmitError::TooLarge { .. } => "request too large for its worker",
        SubmitError::EmptyPrompt => "empty prompt",
        SubmitError::EmptyAnswer => "empty answer",
        SubmitError::DuplicateId => "duplicate request id",
    }
}
