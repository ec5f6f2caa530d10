//! An answered request and its latencies.

use super::owners::ByOwner;
use crate::id::{ORIGINS, RequestId, TenantId, WorkerId};
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// The latencies (service-level objective) that a request must keep to count towards goodput.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    /// The longest time to first token, in seconds.
    pub ttft_s: f64,
    /// The longest time per output token, in seconds.
    pub tpot_s: f64,
}

impl Default for Slo {
    fn default() -> Self {
        Self { ttft_s: 2.0, tpot_s: 0.1 }
    }
}

/// An answered request. All times are model time.
#[derive(Clone, PartialEq, Debug)]
pub struct Answered {
    /// The request.
    pub id: RequestId,
    /// The worker that answered.
    pub worker: WorkerId,
    /// When the request was to be sent. The client may have sent it later.
    pub sent: Instant,
    /// When the first token arrived.
    pub first_token: Instant,
    /// When the last token arrived.
    pub ended: Instant,
    /// The length of the prompt.
    pub prompt_tokens: u32,
    /// The length of the answer.
    pub output_tokens: u32,
    /// Prompt tokens that were cached when the scheduler first admitted the request.
    pub cached_tokens: u32,
    /// The cached tokens by origin: the worker's tiers from HBM on, a pool, a peer. All zero if the
    /// worker does not report them.
    pub cached_by_tier: [u32; ORIGINS],
    /// The tenant of the request.
    pub tenant: TenantId,
    /// The cached tokens by the requests that computed them.
    pub cached_by_owner: ByOwner<u32>,
}

impl Answered {
    /// Time to first token, from when the request was to be sent.
    pub fn ttft(&self) -> Duration {
        self.first_token.since(self.sent)
    }

    /// Seconds per output token after the first. None for an answer of one token.
    pub fn tpot_s(&self) -> Option<f64> {
        let rest = self.output_tokens.checked_sub(1).filter(|&rest| rest > 0)?;
        Some(self.ended.since(self.first_token).as_secs_f64() / f64::from(rest))
    }

    /// Whether the request kept both latencies. An answer of one token has only the first.
    pub fn meets(&self, slo: &Slo) -> bool {
        self.ttft().as_secs_f64() <= slo.ttft_s
            && self.tpot_s().is_none_or(|tpot| tpot <= slo.tpot_s)
    }
}

/// The prompt tokens of a request that were cached.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Cached {
    /// Cached tokens in all.
    pub tokens: u32,
    /// The tokens by origin: the worker's tiers from HBM on, a pool, a peer. All zero if the worker
    /// does not report them.
    pub by_tier: [u32; ORIGINS],
}
