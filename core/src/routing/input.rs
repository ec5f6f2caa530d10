//! What happens to a router and what it wants done: the unit of record and replay.

use crate::event::{LoadReport, WorkerInfo};
use crate::id::{MAX_TIERS, ORIGINS, RequestId, SourceId, WorkerId};
use crate::request::Request;
use crate::routing::policy::PolicyConfig;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    Arrived(Request),
    /// The prompt of a request that another worker answers is computed.
    PrefillDone(RequestId),
    /// The worker has computed the prompt; its blocks are on their way into the index.
    FirstToken(RequestId),
    /// The answer is complete.
    Finished {
        id: RequestId,
        cached_tokens: u32,
        /// The same by where the worker had it from, where it says so. Beside the decision's
        /// overlap and pull, which the router believed in, it is what the engine chose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_origin: Option<[u32; ORIGINS]>,
    },
    /// The request ended without an answer: the client went away or its worker failed.
    Cancelled(RequestId),
    Joined(WorkerInfo),
    /// Takes no new requests, finishes those it has.
    Draining(WorkerId),
    /// The operator wants no new requests there: holds over the worker's restarts, until undrained.
    Drained(WorkerId),
    /// Takes back [`Input::Drained`]. A worker that drains of its own goes on draining.
    Undrained(WorkerId),
    Lost(SourceId),
    Load(LoadReport),
    SetPolicy(PolicyConfig),
    /// The instant that `next_wake` named has come.
    Tick,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    Dispatch { id: RequestId, decision: Decision },
    Reject { id: RequestId, reason: RejectReason },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub worker: WorkerId,
    /// What the rule believes the worker will find, in blocks by tier. None: it did not look.
    pub overlap: Option<[u32; MAX_TIERS]>,
    /// Whence the worker should fetch what it lacks, if that is faster than to compute it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// Who answers, where `worker` only computes the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<WorkerId>,
}

impl Decision {
    /// By a rule that did not look at who holds what.
    pub const fn blind(worker: WorkerId) -> Self {
        Self { worker, overlap: None, pull: None, decode: None }
    }

    /// What the rule believes the worker will not have to compute, in blocks.
    pub fn covered(&self) -> u32 {
        let own = self
            .overlap
            .map_or(0, |tiers| tiers.iter().fold(0, |sum: u32, n| sum.saturating_add(*n)));
        own.max(self.pull.map_or(0, |pull| pull.blocks))
    }
}

/// Blocks that a worker can fetch from another source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pull {
    pub from: SourceId,
    /// How much of the prompt the source holds, in blocks from its start.
    pub blocks: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RejectReason {
    #[error("no worker takes requests: {joined} joined, {draining} of them draining")]
    NoEligibleWorker { joined: u32, draining: u32 },
    #[error(
        "no worker decodes for those that prefill: {joined} joined, {draining} of them draining"
    )]
    NoDecodeWorker { joined: u32, draining: u32 },
    #[error(
        "no worker prefills for those that decode: {joined} joined, {draining} of them draining"
    )]
    NoPrefillWorker { joined: u32, draining: u32 },
    #[error("prompt needs {needed} blocks, the largest worker holds {largest}")]
    PromptTooLarge { needed: u64, largest: u64 },
    #[error("request id is in use already")]
    DuplicateId,
}

/// What a rule may remember by: each input, and each action right after it is taken.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    Input(&'a Input),
    Action(&'a Action),
}
