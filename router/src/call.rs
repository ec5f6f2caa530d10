//! What the router asks of a worker and what the worker answers, in no protocol's terms.

use crate::payload::{AnswerBody, HeldPrompt, RequestBody};
use std::time::Instant;
use warmpath_core::id::ORIGINS;
use warmpath_proto::hints::PullHint;
pub use warmpath_proto::raw::Ids;
use warmpath_proto::scope::ScopeHint;
use warmpath_proto::traces::TraceContext;

/// One request as a worker gets it.
#[derive(Debug)]
pub struct Call<'a> {
    /// The router's own name for this attempt at a request, unique among all attempts of all routers.
    pub id: &'a str,
    /// Replaces the client's salt.
    pub salt: &'a str,
    /// Which blocks are public, and the tenant's number.
    pub scope: &'a ScopeHint,
    /// The pool or the worker to fetch blocks from.
    pub pull: Option<PullHint>,
    /// The prompt's KV, if another worker holds it for this one.
    pub held: Option<HeldPrompt>,
    pub body: &'a mut RequestBody,
    /// What the fleet serves.
    pub model: &'a str,
    /// Token ids. The last `answered` of them are the part of the answer that the client has.
    pub prompt: &'a [u32],
    pub answered: u32,
    /// Whether the answer must have token ids, so that it can be resumed. They go no further unless the
    /// client asked for them too.
    pub ids: bool,
    pub deadline: Option<Instant>,
    /// The trace that the worker's part belongs to.
    pub trace: Option<TraceContext>,
}

/// One message of an answer: its bytes, and the facts the router needs from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerPart {
    pub body: AnswerBody,
    /// Answer tokens in this message.
    pub tokens: u32,
    /// Their ids. None: the answer cannot be resumed after this message.
    pub ids: Option<Ids>,
    /// Present in the last message.
    pub end: Option<AnswerEnd>,
}

/// How a worker ended an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerEnd {
    /// The router asked it to abort the request.
    Aborted,
    Finished {
        /// Prompt tokens that the worker did not compute. None: it does not say.
        cached_tokens: Option<u32>,
        /// The same, by where they came from. None: the worker does not say.
        by_origin: Option<[u32; ORIGINS]>,
        /// The worker got the prompt's KV from the worker that held it.
        kv_came: bool,
    },
}

/// A call to a worker that failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}")]
pub struct UpstreamError {
    pub kind: FailureKind,
    /// One line.
    pub why: String,
    /// The worker never took up the call.
    pub not_taken: bool,
}

impl UpstreamError {
    /// The worker, or the connection to it, is gone.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unavailable, why: why.into(), not_taken: false }
    }

    /// Whether another worker may answer, as far as one can tell.
    pub const fn may_be_tried_again(&self) -> bool {
        self.not_taken || matches!(self.kind, FailureKind::Unavailable)
    }
}

/// What kind of failure a worker reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// The request cannot be served as it is.
    InvalidRequest,
    /// What this worker speaks has no word for a part of the request.
    NoWord,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    ResourceExhausted,
    OutOfRange,
    DeadlineExceeded,
    Unsupported,
    /// The worker is gone, or its answer cannot be read. A new attempt may help.
    Unavailable,
}
