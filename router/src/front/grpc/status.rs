//! Errors as gRPC statuses, and the count of refused requests by status code.

use crate::call::FailureKind;
use crate::error::RequestError;
use crate::metrics;
use crate::state::RouterState;
use tonic::{Code, Status};
use warmpath_proto::status;

/// The status of an error.
pub fn of_error(error: &RequestError) -> Status {
    let code = match error {
        RequestError::Rejected(reason) => return status::from_reject(*reason),
        RequestError::Refused { reason, after } => {
            return status::with_pushback(status::from_reject(*reason), *after);
        }
        RequestError::Draining
        | RequestError::WorkerRemoved(_)
        | RequestError::TooLargeForNow { .. } => Code::Unavailable,
        RequestError::NameInUse(_) => Code::AlreadyExists,
        RequestError::Worker { cause, .. } | RequestError::GaveUp { cause, .. } => {
            of_failure(cause.kind)
        }
        RequestError::DeadlinePassed { .. } | RequestError::DeadlinePassedHeld => {
            Code::DeadlineExceeded
        }
        RequestError::AbortedHeld | RequestError::Aborted => Code::Cancelled,
        RequestError::EndedTwice => Code::Internal,
    };
    status::fitting(code, error.to_string())
}

const fn of_failure(kind: FailureKind) -> Code {
    match kind {
        FailureKind::InvalidRequest | FailureKind::NoWord => Code::InvalidArgument,
        FailureKind::NotFound => Code::NotFound,
        FailureKind::AlreadyExists => Code::AlreadyExists,
        FailureKind::FailedPrecondition => Code::FailedPrecondition,
        FailureKind::ResourceExhausted => Code::ResourceExhausted,
        FailureKind::OutOfRange => Code::OutOfRange,
        FailureKind::DeadlineExceeded => Code::DeadlineExceeded,
        FailureKind::Unsupported => Code::Unimplemented,
        FailureKind::Unavailable => Code::Unavailable,
    }
}

/// Counts a request that got no answer stream. Returns its status.
pub fn refused(state: &RouterState, status: Status) -> Status {
    metrics::refused(&state.router.policy(), format!("{:?}", status.code()));
    status
}
