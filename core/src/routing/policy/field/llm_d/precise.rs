//! llm-d's precise prefix profile: an index made of the workers' events (`llm-d-router` ebab6879,
//! `deploy/config/epp-precise-prefix-cache-config.yaml`): prefix 2, KV usage 1, queue 1. A worker's hit
//! is its unbroken run of blocks, where a block in HBM counts 1 and one in host memory 0.8, cut to a
//! whole number (`prefix.rs`).
//!
//! With `speculative=true` (llm-d's guides set it), blocks of a prompt count from its dispatch on. llm-d
//! then believes them for 2 s; this router until they should have been announced.

use super::prefix::{Matches, TierWeights};
use super::scorers::Profile;
use crate::request::Request;
use crate::routing::decision::Choice;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Duration;

parameters! {
    /// llm-d's weighted sum of scores, by what workers say they hold.
    pub struct LlmDPrecise {
        /// Weight of cached blocks (prefix-cache-scorer).
        prefix: f64 = 2.0, 0.0..=1_000.0, "";
        /// Weight of free KV blocks (kv-cache-utilization-scorer).
        kv: f64 = 1.0, 0.0..=1_000.0, "";
        /// Weight of few waiting requests (queue-scorer).
        queue: f64 = 1.0, 0.0..=1_000.0, "";
        /// What a block in HBM counts (backendConfigs gpu).
        gpu: f64 = 1.0, 0.0..=1.0, "";
        /// What a block in host memory counts (backendConfigs cpu).
        cpu: f64 = 0.8, 0.0..=1.0, "";
        /// What a block in a tier behind it counts: the weight of a medium that has none.
        other: f64 = 1.0, 0.0..=1.0, "";
        /// Whether a prompt's blocks count from its dispatch on (speculativeIndexing).
        speculative: bool = false, (), "";
        /// How often it reads the load of its workers (--refresh-metrics-interval).
        poll_s: f64 = 0.05, 0.001..=3_600.0, "s";
    }
}

impl Policy for LlmDPrecise {
    const NAME: &'static str = "llm-d-precise";
    const RULE: &'static str = "llm-d: weighted scores for cached blocks by the workers' events, free KV blocks and queue.";

    type Memory = ();

    fn memory(&self) {}

    fn poll(&self) -> Option<Duration> {
        Some(Duration::from_secs_f64(self.poll_s))
    }

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let &Self { prefix, kv, queue, gpu, cpu, other, speculative, .. } = self;
        let weights = TierWeights { gpu, cpu, other };
        let matches = Matches::stored(weights, speculative, request, view);
        let profile = Profile { queue, kv, prefix, ..Profile::EMPTY };
        profile.choose(&matches, None, request, view, |_, _| true)
    }
}
