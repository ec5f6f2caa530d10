//! Why a worker does not do what it is asked. A front turns this into its protocol's status codes.

use warmpath_core::engine::{FetchError, SubmitError};

/// A request that a worker refuses, or an answer that it cannot finish.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The worker shuts down and takes no new requests.
    #[error("worker '{0}' is draining")]
    Draining(String),
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
    /// The engine's thread ended in the middle of an answer.
    #[error("the worker stopped after {sent} tokens of this answer")]
    Torn {
        /// Answer tokens sent so far.
        sent: u32,
    },
    /// The engine does not take the request.
    #[error("{0}")]
    Submit(SubmitError),
    /// Another request has this name now.
    #[error("request_id: '{0}' is in use already")]
    NameInUse(String),
    /// A field that this worker cannot honour, and why.
    #[error("{field}: {why}")]
    Field { field: &'static str, why: &'static str },
    /// Blocks or KV that were asked for do not come.
    #[error("{0}")]
    Fetch(FetchError),
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        Self::Submit(error)
    }
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}
