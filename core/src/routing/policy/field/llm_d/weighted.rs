//! llm-d's weighted profile: the sum of its scorers (`scorers.rs`). The weights are those that the picker
//! has without a configuration, and the chart's (`pkg/epp/config/loader/defaults.go`,
//! `config/charts/routerlib/templates/_config.yaml`): queue 2, KV usage 2, prefix 3. Other profiles of
//! samples and guides are other weights of the same sum.

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
    /// llm-d's weighted sum of scores.
    pub struct LlmDWeighted {
        /// Weight of few waiting requests (queue-scorer).
        queue: f64 = 2.0, 0.0..=1_000.0, "";
        /// Weight of free KV blocks (kv-cache-utilization-scorer).
        kv: f64 = 2.0, 0.0..=1_000.0, "";
        /// Weight of cached blocks (prefix-cache-scorer).
        prefix: f64 = 3.0, 0.0..=1_000.0, "";
        /// Weight of few waiting requests, against a threshold (load-aware-scorer).
        load_aware: f64 = 0.0, 0.0..=1_000.0, "";
        /// Weight of few prompt tokens under way (token-load-scorer).
        token_load: f64 = 0.0, 0.0..=1_000.0, "";
        /// Weight of few requests under way (active-request-scorer).
        active: f64 = 0.0, 0.0..=1_000.0, "";
        /// Weight of the time since a worker's last request without a hit (no-hit-lru-scorer).
        no_hit_lru: f64 = 0.0, 0.0..=1_000.0, "";
        /// For prefix: the weight of the length of a hit; the rest is that of its part of the prompt
        /// (matchLengthWeight).
        length_weight: f64 = 0.0, 0.0..=1.0, "";
        /// For prefix: the length of a hit that counts 1 (matchLengthScaleTokens).
        length_scale: u32 = 8_192, 1..=1_000_000_000, "tokens";
        /// For load_aware: waiting requests that count 0 (threshold).
        waiting_most: u32 = 128, 1..=1_000_000, "requests";
        /// For token_load: tokens under way that count 0 (queueThresholdTokens).
        tokens_most: u32 = 4_194_304, 1..=4_000_000_000, "tokens";
        /// For active: a worker with at most so many requests counts 1 (idleThreshold).
        idle: u32 = 0, 0..=1_000_000, "requests";
        /// For active: the score of other workers is multiplied by this (maxBusyScore).
        busy_score: f64 = 1.0, 0.0..=1.0, "";
        /// For no_hit_lru: workers that are remembered (lruSize).
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

impl Policy for LlmDWeighted {
    const NAME: &'static str = "llm-d-weighted";
    const RULE: &'static str =
        "llm-d: the largest weighted sum of scores for queue, free KV blocks and cached blocks.";

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
        let cold = (self.no_hit_lru > 0.0).then_some(&known.cold);
        self.profile().choose(&matches, cold, request, view, |_, _| true)
    }
}

impl LlmDWeighted {
    const fn prefixes(&self) -> Prefixes {
        let &Self { index, block_tokens, max_tokens, capacity, auto_tune, .. } = self;
        Prefixes { index, block_tokens, max_tokens, capacity, auto_tune }
    }

    const fn profile(&self) -> Profile {
        Profile {
            queue: self.queue,
            kv: self.kv,
            prefix: self.prefix,
            load_aware: self.load_aware,
            token_load: self.token_load,
            active: self.active,
            no_hit_lru: self.no_hit_lru,
            length_weight: self.length_weight,
            length_scale: self.length_scale,
            waiting_threshold: self.waiting_most,
            token_threshold: self.tokens_most,
            idle: self.idle,
            busy_score: self.busy_score,
        }
    }
}

/// What was sent where.
#[derive(Debug)]
pub struct Known {
    predicted: Predicted,
    cold: ColdOrder,
}
