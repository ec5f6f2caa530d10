//! Why a request has no answer, or only part of one. A front turns these errors into its protocol's
//! status codes.

use crate::call::UpstreamError;
use std::time::Duration;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::input::RejectReason;
use warmpath_core::routing::retry::GiveUp;

/// Why the router ends a request. The text is for the client.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// The router shuts down and takes no new requests.
    #[error("the router is draining")]
    Draining,
    /// The core router rejected the request.
    #[error("{0}")]
    Rejected(RejectReason),
    /// The core router refused the request because of the load.
    #[error("{reason}")]
    Refused {
        reason: RejectReason,
        /// When it may be in time if it is sent again, by the wall clock.
        after: Duration,
    },
    /// No worker that has joined is large enough, and others have not joined.
    #[error("{reason}; {absent} more workers have not joined, which may be larger")]
    TooLargeForNow {
        /// Why the core router rejected the request.
        reason: RejectReason,
        /// Workers of the fleet that have not joined, or are lost.
        absent: usize,
    },
    /// Another request of the same tenant has this name now.
    #[error("request_id: '{0}' is in use already")]
    NameInUse(String),
    /// An operator removed the worker after it was chosen.
    #[error("{0} was removed from the fleet")]
    WorkerRemoved(WorkerId),
    /// The worker refused the request, or its call failed.
    #[error("worker {worker}: {cause}")]
    Worker {
        /// Its name and URL.
        worker: String,
        cause: UpstreamError,
    },
    /// The worker's call failed, and so did the tries after it, or there was none.
    #[error("worker {worker}: {cause}; given up after {tries} {}: {why}", if *.tries == 1 { "try" } else { "tries" })]
    GaveUp {
        /// The name and URL of the last worker.
        worker: String,
        /// Its failure.
        cause: UpstreamError,
        /// Attempts that failed.
        tries: u32,
        /// Why there is no further one.
        why: GiveUp,
    },
    /// The client's deadline passed.
    #[error("the deadline passed after {tokens} answer tokens")]
    DeadlinePassed {
        /// Answer tokens sent so far.
        tokens: u32,
    },
    /// The client's deadline passed before the request was sent to a worker.
    #[error("the deadline passed while the request was held for a worker")]
    DeadlinePassedHeld,
    /// The client aborted the request while it was between two workers.
    #[error("aborted after its worker failed")]
    Aborted,
    /// The client aborted the request before it was sent to a worker.
    #[error("aborted while the request was held for a worker")]
    AbortedHeld,
    /// A fault of the router: the request's end was already known.
    #[error("the request ended twice")]
    EndedTwice,
}

impl From<RejectReason> for RequestError {
    fn from(reason: RejectReason) -> Self {
        Self::Rejected(reason)
    }
}
