//! Why a request failed, as reports count it.

use warmpath_core::engine::SubmitError;
use warmpath_core::routing::input::RejectReason;
use warmpath_core::routing::retry::GiveUp;

/// Why the router did not send it.
pub fn rejection(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::NoEligibleWorker { .. } => "no worker takes requests",
        RejectReason::NoDecodeWorker { .. } => "no worker decodes",
        RejectReason::NoPrefillWorker { .. } => "no worker prefills",
        RejectReason::PromptTooLarge { .. } => "prompt too large for any worker",
        RejectReason::RequestTooLarge { .. } => "request too large for any worker",
        RejectReason::DuplicateId => "duplicate request id",
        RejectReason::QueueFull { .. } => "queue full",
        RejectReason::WaitedTooLong { .. } => "waited too long",
        RejectReason::OverSlo { .. } => "expected later than the SLO",
        RejectReason::LateForDeadline { .. } => "expected later than its deadline",
        RejectReason::GaveUp { why: GiveUp::Off, .. } => "its worker failed",
        RejectReason::GaveUp { why: GiveUp::Tries, .. } => "no worker took it",
        RejectReason::GaveUp { why: GiveUp::Suspect, .. } => "failed on its workers",
        RejectReason::GaveUp { why: GiveUp::Resumes, .. } => "its answer broke off too often",
        RejectReason::GaveUp { why: GiveUp::Budget, .. } => "no budget to try it again",
        RejectReason::GaveUp { why: GiveUp::NoOtherWorker, .. } => "no other worker to try",
        RejectReason::DeadlinePassed { .. } => "deadline passed in the queue",
    }
}

/// Why its worker did not take it.
pub fn refusal(error: SubmitError) -> &'static str {
    match error {
        SubmitError::TooLarge { .. } => "request too large for its worker",
        SubmitError::EmptyPrompt => "empty prompt",
        SubmitError::EmptyAnswer => "empty answer",
        SubmitError::DuplicateId => "duplicate request id",
    }
}
