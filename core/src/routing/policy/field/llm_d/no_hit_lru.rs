//! llm-d's weighted profile with its scorer for cold requests, as its `optimized-baseline` and
//! `precise-prefix-cache-routing` guides had it until July 2026 (`llm-d/llm-d`, `guides`; still
//! `llm-d-router` ebab6879, `test/perf/config/router-configs/optimized-baseline.yaml`): queue 2, KV
//! usage 2, prefix 3, no-hit-lru 2. It is `llm-d-weighted` with another default.
//!
//! A request of which no worker holds a block goes by turns, since cold requests are what fills caches.
//! A block that all requests share makes each request a hit somewhere, and this scorer then decides
//! nothing.

use super::cold::ColdOrder;
use super::prefix::Prefixes;
use super::scorers::Profile;
use crate::request::Request;
use crate::routing::decision::Choice;
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Predicted};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};

parameters! {
    /// llm-d's weighted sum of scores, where requests without a hit go by turns.
    pub struct LlmDNoHitLru {
        /// Weight of few waiting requests (queue-scorer).
        queue: f64 = 2.0, 0.0..=1_000.0, "";
        /// Weight of free KV blocks (kv-cache-utilization-scorer).
        kv: f64 = 2.0, 0.0..=1_000.0, "";
        /// Weight of cached blocks (prefix-cache-scorer).
        prefix: f64 = 3.0, 0.0..=1_000.0, "";
        /// Weight of the time since a worker's last request without a hit (no-hit-lru-scorer).
        no_hit_lru: f64 = 2.0, 0.0..=1_000.0, "";
        /// Workers whose last request without a hit is remembered (lruSize).
        lru: u32 = 1_024, 1..=1_000_000, "workers";
        /// Where it has it from what workers hold.
        index: Index = Index::Predicted, (), "";
        /// For index=predicted: tokens of a block; the workers' blocks, where those are larger
        /// (blockSizeTokens).
        block_tokens: u32 = 64, 1..=65_536, "tokens";
        /// For index=predicted: tokens of a prompt that are looked at (maxPrefixTokensToMatch).
        max_tokens: u32 = 131_072, 1..=1_000_000_000, "tokens";
        /// For index=predicted: blocks that a worker is believed to hold (lruCapacityPerServer).
        capacity: u32 = 31_250, 1..=100_000_000, "blocks";
        /// For index=predicted: the worker's own number of KV blocks in place of the capacity
        /// (autoTune).
        auto_tune: bool = true, (), "";
        /// How often it reads the load of its workers (--refresh-metrics-interval).
        poll_s: f64 = 0.05, 0.001..=3_600.0, "s";
    }
}

impl Policy for LlmDNoHitLru {
    const NAME: &'static str = "llm-d-no-hit-lru";
    const RULE: &'static str =
        "llm-d: weighted scores; requests without a hit go where the last one was longest ago.";

    type Memory = Known;

    fn memory(&self) -> Known {
        Known { predicted: self.prefixes().predicted(), cold: ColdOrder::default() }
    }

    fn poll(&self) -> Option<Duration> {
        Some(Duration::from_secs_f64(self.poll_s))
    }

    fn observe(&self, known: &mut Known, now: Instant, what: &Observed<'_>) {
        self.prefixes().observe(&mut known.predicted, now, what);
        known.cold.observe(self.lru as usize, what);
    }

    fn choose(&self, known: &Known, request: &Request, view: &FleetView<'_>) -> Choice {
        let matches = self.prefixes().matches(&known.predicted, request, view);
        let &Self { queue, kv, prefix, no_hit_lru, .. } = self;
        let profile = Profile { queue, kv, prefix, no_hit_lru, ..Profile::EMPTY };
        profile.choose(&matches, Some(&known.cold), request, view, |_, _| true)
    }
}

impl LlmDNoHitLru {
    const fn prefixes(&self) -> Prefixes {
        let &Self { index, block_tokens, max_tokens, capacity, auto_tune, .. } = self;
        Prefixes { index, block_tokens, max_tokens, capacity, auto_tune }
    }
}

/// What was sent where.
#[derive(Debug)]
pub struct Known {
    predicted: Predicted,
    cold: ColdOrder,
}
