//! The figures of one run.

use super::owners::ByOwner;
use super::statistics::Spread;
use super::tenants::TenantFigures;
use crate::id::ORIGINS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Reasons of failures that are a router's refusal: it could not have served the request in time.
pub const REFUSALS: [&str; 2] = ["expected later than the SLO", "expected later than its deadline"];

/// The figures of one run. `docs/metrics.md` has the formulas. A figure over nothing is None: without
/// an answer there is no hit rate and no latency, and without an answer of two tokens no TPOT.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Requests sent.
    pub offered: u64,
    /// Requests answered.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Those of them that the router refused because it could not have served them in time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// Failed requests by reason.
    pub errors_by_reason: BTreeMap<String, u64>,
    /// Seconds from the first send to the last end.
    pub duration_s: f64,
    /// Cached prompt tokens divided by all prompt tokens, 0 to 1. Only whole blocks count as cached.
    pub hit_rate: Option<f64>,
    /// The parts of `hit_rate` by origin: the worker's tiers from HBM on, a pool, a peer. All zero if
    /// no worker reports them.
    pub hit_rate_by_tier: Option<[f64; ORIGINS]>,
    /// The parts of `hit_rate` by the requests that computed the tokens.
    pub hit_rate_by_owner: Option<ByOwner<f64>>,
    /// Cached prompt blocks divided by all full prompt blocks, 0 to 1.
    pub hit_rate_blocks: Option<f64>,
    /// Prompt tokens that workers computed.
    pub prefill_tokens_computed: u64,
    /// Prompt tokens that were cached.
    pub prefill_tokens_cached: u64,
    /// Time to first token, in seconds.
    pub ttft_s: Option<Spread>,
    /// Time per output token after the first, in seconds.
    pub tpot_s: Option<Spread>,
    /// Time from send to last token, in seconds.
    pub e2e_s: Option<Spread>,
    /// Requests and tokens a second.
    pub throughput: Throughput,
    /// Requests a second that kept the SLO.
    pub goodput_requests_per_s: f64,
    /// Requests that kept the SLO divided by requests sent, 0 to 1.
    pub within_slo: f64,
    /// Requests sent divided by `arrivals_s`.
    pub offered_requests_per_s: f64,
    /// Seconds from the first send to the last.
    pub arrivals_s: f64,
    /// Tokens computed by the busiest worker divided by the mean of all workers. None if the number
    /// of workers is not known, or if no worker computed any.
    pub balance_max_over_mean: Option<f64>,
    /// The figures of each tenant. Empty if all requests belong to the first tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantFigures>,
}

/// Requests and tokens a second, over the duration of the run.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Throughput {
    /// Requests answered.
    pub requests_per_s: f64,
    /// Prompt tokens of answered requests, cached ones included.
    pub input_tokens_per_s: f64,
    /// Answer tokens.
    pub output_tokens_per_s: f64,
}
