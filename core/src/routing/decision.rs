//! What a rule can choose for a request, and why a router rejects one.

use crate::id::{MAX_TIERS, SourceId, WorkerId};
use crate::routing::attempt::AttemptLimits;
use crate::routing::retry::GiveUp;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// What a rule answers for a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// Send it to a worker now.
    Send(Decision),
    /// Keep it in the router's queue. The router asks again at `until` at the latest, earlier after
    /// any input that may have changed the answer.
    Hold {
        /// An instant that is not in the future counts as the next millisecond.
        until: Instant,
    },
}

impl From<Decision> for Choice {
    fn from(decision: Decision) -> Self {
        Self::Send(decision)
    }
}

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The worker that computes the prompt.
    pub worker: WorkerId,
    /// What the rule believes the worker will find, in blocks by tier. None: it did not look.
    pub overlap: Option<[u32; MAX_TIERS]>,
    /// The source from which the worker should fetch what it lacks, if that is faster than to
    /// compute it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// The worker that decodes, where `worker` only computes the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<WorkerId>,
    /// How long the attempt may take. None: as long as the client waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<AttemptLimits>,
    /// Who held how much of the prompt. None: the router is not asked to say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holders: Option<Holders>,
}

/// Blocks of a prompt that workers held by their events when it was sent, as far as a request can use them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Holders {
    /// On the chosen worker.
    pub chosen: u32,
    /// The most on any worker that could have been chosen.
    pub best: u32,
}

impl Holders {
    /// Blocks that the best holder had and the chosen worker had not.
    pub const fn lost(self) -> u32 {
        self.best.saturating_sub(self.chosen)
    }
}

impl Decision {
    /// To a worker that is believed to hold so many blocks of the prompt, by tier.
    pub const fn new(worker: WorkerId, overlap: [u32; MAX_TIERS]) -> Self {
        Self { overlap: Some(overlap), ..Self::blind(worker) }
    }

    /// By a rule that did not look up which worker holds what.
    pub const fn blind(worker: WorkerId) -> Self {
        Self { worker, overlap: None, pull: None, decode: None, limits: None, holders: None }
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
    /// The pool or the peer that has them.
    pub from: SourceId,
    /// How much of the prompt the source holds, in blocks from its start.
    pub blocks: u32,
}

/// Why a router does not serve a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RejectReason {
    /// No worker takes requests, or no such worker has room for the prompt.
    #[error("no worker takes requests: {joined} joined, {draining} of them draining")]
    NoEligibleWorker {
        /// Workers of the fleet.
        joined: u32,
        /// Those of them that take no new requests.
        draining: u32,
    },
    /// There are prefill workers, but no decode worker takes requests.
    #[error("no decode worker takes requests: {joined} joined, {draining} of them draining")]
    NoDecodeWorker {
        /// Workers of the fleet.
        joined: u32,
        /// Those of them that take no new requests.
        draining: u32,
    },
    /// There are decode workers, but no prefill worker takes requests.
    #[error("no prefill worker takes requests: {joined} joined, {draining} of them draining")]
    NoPrefillWorker {
        /// Workers of the fleet.
        joined: u32,
        /// Those of them that take no new requests.
        draining: u32,
    },
    /// No worker of the fleet has the memory for the prompt and the answer that is asked for.
    #[error("prompt and answer need {needed} blocks, the largest worker holds {largest}")]
    RequestTooLarge {
        /// Blocks of the prompt and of the most answer tokens.
        needed: u64,
        /// Blocks of the largest worker.
        largest: u64,
    },
    /// No worker of the fleet has the memory for the prompt alone.
    #[error("prompt needs {needed} blocks, the largest worker holds {largest}")]
    PromptTooLarge {
        /// Blocks of the prompt and of one token more.
        needed: u64,
        /// Blocks of the largest worker.
        largest: u64,
    },
    /// A request of that id is under way or held.
    #[error("request id is in use already")]
    DuplicateId,
    /// The rule holds the request, but the queue has no room for it.
    #[error(
        "the queue is full: {requests} of {most_requests} requests and {prompt_tokens} of \
         {most_prompt_tokens} prompt tokens wait, this prompt has {needed_tokens} tokens"
    )]
    QueueFull {
        /// Requests that wait.
        requests: u32,
        /// How many may wait.
        most_requests: u32,
        /// Prompt tokens of the requests that wait.
        prompt_tokens: u64,
        /// How many may wait.
        most_prompt_tokens: u64,
        /// Prompt tokens of the request that found no room.
        needed_tokens: u32,
    },
    /// The rule held the request for as long as a request may wait.
    #[error("waited {} s in the queue, the longest wait is {} s", .waited.as_secs_f64(), .longest.as_secs_f64())]
    WaitedTooLong {
        /// How long it was held.
        waited: Duration,
        /// How long a request may be held.
        longest: Duration,
    },
    /// Late binding predicts a later first token than is worth waiting for.
    #[error("the first token is expected after {} s, the SLO is {} s", .predicted.as_secs_f64(), .slo.as_secs_f64())]
    OverSlo {
        /// The predicted time to the first token, the time it was held included.
        predicted: Duration,
        /// The longest time to the first token.
        slo: Duration,
    },
    /// The whole answer is predicted to come after the client's deadline.
    #[error("the answer is expected after {} s, the deadline is in {} s", .predicted.as_secs_f64(), .left.as_secs_f64())]
    LateForDeadline {
        /// The predicted time to the end of the answer, from now on.
        predicted: Duration,
        /// The time to the deadline.
        left: Duration,
    },
    /// Its client has given up: the deadline came while the rule held the request.
    #[error("the deadline passed in the queue after {} s", .waited.as_secs_f64())]
    DeadlinePassed {
        /// How long it was held.
        waited: Duration,
    },
    /// An attempt failed, and the request is not tried again.
    #[error("given up after {tries} tries: {why}")]
    GaveUp {
        /// Attempts that failed.
        tries: u32,
        /// Why there is no further one.
        why: GiveUp,
    },
}

impl RejectReason {
    /// When the same request may be in time, if the router refuses it for its load. None: it is refused
    /// for another reason.
    pub fn retry_after(&self) -> Option<Duration> {
        const LEAST: Duration = Duration::from_millis(100);
        let after = match *self {
            Self::OverSlo { predicted, slo } => predicted.saturating_sub(slo),
            Self::LateForDeadline { predicted, left } => predicted.saturating_sub(left),
            Self::QueueFull { .. } | Self::WaitedTooLong { .. } => Duration::from_millis(1_000),
            _ => return None,
        };
        Some(after.max(LEAST))
    }

    /// The reason without its numbers: what reports count by, live and simulated.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEligibleWorker { .. } => "no worker takes requests",
            Self::NoDecodeWorker { .. } => "no worker decodes",
            Self::NoPrefillWorker { .. } => "no worker prefills",
            Self::PromptTooLarge { .. } => "prompt too large for any worker",
            Self::RequestTooLarge { .. } => "request too large for any worker",
            Self::DuplicateId => "duplicate request id",
            Self::QueueFull { .. } => "queue full",
            Self::WaitedTooLong { .. } => "waited too long",
            Self::OverSlo { .. } => "expected later than the SLO",
            Self::LateForDeadline { .. } => "expected later than its deadline",
            Self::GaveUp { why: GiveUp::Off, .. } => "its worker failed",
            Self::GaveUp { why: GiveUp::Tries, .. } => "no worker took it",
            Self::GaveUp { why: GiveUp::Suspect, .. } => "failed on its workers",
            Self::GaveUp { why: GiveUp::Resumes, .. } => "its answer broke off too often",
            Self::GaveUp { why: GiveUp::Budget, .. } => "no budget to try it again",
            Self::GaveUp { why: GiveUp::NoOtherWorker, .. } => "no other worker to try",
            Self::DeadlinePassed { .. } => "deadline passed in the queue",
        }
    }
}
