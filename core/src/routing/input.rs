//! What happens to a router and what it wants done: the unit of record and replay.

use crate::event::{LoadReport, WorkerInfo};
use crate::id::{ORIGINS, RequestId, SourceId, WorkerId};
use crate::request::Request;
pub use crate::routing::attempt::{AttemptLimits, Failure};
pub use crate::routing::decision::{Decision, Pull, RejectReason};
use crate::routing::observed::Observed;
use crate::routing::policy::PolicyConfig;
pub use crate::routing::siblings::{News, RouterId};
use crate::time::Instant;
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// A client's request came.
    Arrived(Request),
    /// The prompt of a request that another worker decodes is computed.
    PrefillDone(RequestId),
    /// The worker has computed the prompt; its blocks are on their way into the index.
    FirstToken(RequestId),
    /// The answer is complete.
    Finished {
        /// The request.
        id: RequestId,
        /// Prompt tokens that the worker did not compute.
        cached_tokens: u32,
        /// The same by where the worker had them from, where it says so. The decision's overlap and
        /// pull are what the router believed; this is what the engine did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_origin: Option<[u32; ORIGINS]>,
        /// The length of the answer, where it was counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_tokens: Option<u32>,
    },
    /// The request ended without an answer: the client went away or its worker failed.
    Cancelled(RequestId),
    /// An attempt failed; the client still waits. The booking ends, as with `Cancelled`.
    Failed {
        /// The request.
        id: RequestId,
        /// The worker whose call failed.
        worker: WorkerId,
        /// How it failed.
        how: Failure,
        /// The request as it would be sent again. After the first token the prompt ends with the part of
        /// the answer that the client has. None: it can't be sent again, and the client hears of the
        /// failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Request>,
    },
    /// A worker came, or came back after a restart.
    Joined(WorkerInfo),
    /// Takes no new requests, finishes those it has.
    Draining(WorkerId),
    /// The operator wants no new requests there: holds over the worker's restarts, until undrained.
    Drained(WorkerId),
    /// Takes back [`Input::Drained`]. A worker that drains by itself still drains.
    Undrained(WorkerId),
    /// A worker or a pool is gone.
    Lost(SourceId),
    /// A worker reports its load.
    Load(LoadReport),
    /// Another rule decides from now on. It starts with an empty memory.
    SetPolicy(PolicyConfig),
    /// Another router before the same fleet says what it does. Its news come in the order in which it
    /// told them.
    Sibling {
        /// That router.
        router: RouterId,
        /// What it says.
        news: News,
    },
    /// Another router is gone, or what it told is lost. What it has under way is forgotten. A shell that
    /// hears from it again tells anew what that router has under way.
    SiblingLost(RouterId),
    /// The instant that `next_wake` named has come.
    Tick,
}

/// What the router wants done. Besides [`Action::Abandon`], which may come for any request under way: every [`Input::Arrived`] yields exactly one of these for its request, and
/// so does every [`Input::Failed`] with a request to send again: `Reject` then says why it is given up.
/// A request that is held yields exactly one `Dispatch` or `Reject` later, unless it is cancelled.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Send the request to a worker.
    Dispatch {
        /// The request.
        id: RequestId,
        /// Where it goes.
        decision: Decision,
    },
    /// Refuse the request.
    Reject {
        /// The request.
        id: RequestId,
        /// Why.
        reason: RejectReason,
    },
    /// Give up an attempt that waits for its first token: its worker answers nothing. Abort it there, and
    /// apply [`Input::Failed`] with [`Failure::NoFirstToken`]. If its first token has come meanwhile, do
    /// nothing.
    Abandon {
        /// The request.
        id: RequestId,
        /// The worker that is silent.
        worker: WorkerId,
    },
    /// Keep the client waiting: the request is in the router's queue.
    Hold {
        /// The request.
        id: RequestId,
        /// The router decides again at this time at the latest, and perhaps holds on.
        until: Instant,
    },
}

impl Input {
    /// What a rule sees of it. A tick is no news, and a rule that is set starts afresh.
    pub(super) const fn observed(&self) -> Option<Observed<'_>> {
        Some(match self {
            Self::Arrived(request) => Observed::Arrived(request),
            Self::PrefillDone(id) => Observed::PrefillDone(*id),
            Self::FirstToken(id) => Observed::FirstToken(*id),
            Self::Finished { id, cached_tokens, by_origin, output_tokens } => Observed::Finished {
                id: *id,
                cached_tokens: *cached_tokens,
                by_origin: by_origin.as_ref(),
                output_tokens: *output_tokens,
            },
            // To a rule, a failed attempt is a request that ended; a further one is dispatched anew.
            Self::Cancelled(id) | Self::Failed { id, .. } => Observed::Cancelled(*id),
            Self::Joined(info) => Observed::Joined(info),
            Self::Draining(id) => Observed::Draining(*id),
            Self::Drained(id) => Observed::Drained(*id),
            Self::Undrained(id) => Observed::Undrained(*id),
            Self::Lost(source) => Observed::Lost(*source),
            Self::Load(report) => Observed::Load(report),
            // What a rule sees of siblings has the ids of this router.
            Self::Sibling { .. } | Self::SiblingLost(_) | Self::SetPolicy(_) | Self::Tick => {
                return None;
            }
        })
    }

    /// Whether it may change what is decided about requests that are held: room came free, or other
    /// workers may serve them.
    pub(super) const fn may_free_room(&self) -> bool {
        let sent = matches!(self, Self::Sibling { news: News::Sent { .. }, .. });
        !sent && !matches!(self, Self::Arrived(_) | Self::Tick)
    }
}
