//! What a rule with a memory learns from.

use crate::event::{LoadReport, WorkerInfo};
use crate::id::{ORIGINS, RequestId, SourceId, WorkerId};
use crate::request::Request;
use crate::routing::decision::{Decision, RejectReason};
use crate::time::Instant;

/// What happened to the router, and what the router did.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    /// A request came. What is decided about it follows.
    Arrived(&'a Request),
    /// The prompt of a request that another worker decodes is computed.
    PrefillDone(RequestId),
    /// The prompt is computed.
    FirstToken(RequestId),
    /// The answer is complete.
    Finished {
        /// The request.
        id: RequestId,
        /// Prompt tokens that the worker did not compute.
        cached_tokens: u32,
        /// The same by where the worker had them from, if it says so.
        by_origin: Option<&'a [u32; ORIGINS]>,
        /// The length of the answer, where it was counted.
        output_tokens: Option<u32>,
    },
    /// The request ended without an answer, or an attempt at it failed. If the request is tried again,
    /// a `Dispatched`, `Held` or `Rejected` follows, and no second `Arrived`.
    Cancelled(RequestId),
    /// A worker came, or came back after a restart with nothing cached. A rule that is set later hears
    /// it first of each worker that is there.
    Joined(&'a WorkerInfo),
    /// The worker takes no new requests.
    Draining(WorkerId),
    /// The operator wants no new requests there.
    Drained(WorkerId),
    /// The operator allows new requests there again.
    Undrained(WorkerId),
    /// A worker or a pool is gone.
    Lost(SourceId),
    /// A worker's report of its load.
    Load(&'a LoadReport),
    /// The router sent a request.
    Dispatched {
        /// Whole, since its id alone names neither session nor prompt.
        request: &'a Request,
        /// Where it went.
        decision: &'a Decision,
    },
    /// The rule held a request for the first time.
    Held {
        /// The request.
        request: &'a Request,
        /// When the rule is asked again at the latest.
        until: Instant,
    },
    /// The router rejected a request, held or just arrived.
    Rejected {
        /// The request.
        request: &'a Request,
        /// Why.
        reason: RejectReason,
    },
}
