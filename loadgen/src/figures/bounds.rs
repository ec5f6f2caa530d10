//! What no rule could beat with the same requests, and how far a run is from it. `docs/bounds.md` has the proofs.

use serde::{Deserialize, Serialize};

/// Bounds of one run, and what the run reached. All requests of the run count, warm-up included. Rates are
/// shares of all prompt tokens; only whole blocks count as cached.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bounds {
    pub requests: u64,
    pub hit_rate: f64,
    /// With caches that forget nothing and one worker that has all of them.
    pub infinite_hit_rate: f64,
    /// The memory of the fleet, all tiers and the pool together. None: a worker's memory has no limit.
    pub memory_blocks: Option<u64>,
    /// With one cache of the fleet's memory that knows the future.
    pub optimal_hit_rate: f64,
    /// With one LRU of the fleet's memory. It is no bound: caches of single workers may keep the better blocks.
    pub pooled_lru_hit_rate: f64,
    /// Seconds of workers that the prompts take at least.
    pub least_work_s: f64,
    /// The factor for the arrival rate at which that is all the time of all workers. No rule is stable beyond it.
    /// None: the requests wait for each other, or all came at once.
    pub stable_below_rate_scale: Option<f64>,
    pub ttft_mean_s: f64,
    /// A mean that no rule can pass.
    pub least_ttft_mean_s: f64,
    pub latency_mean_s: f64,
    /// The same for the time to the last token.
    pub least_latency_mean_s: f64,
}

impl Bounds {
    /// The hit rate that other choices of a worker could have won: one LRU for all has it. Below 0: the workers'
    /// caches together did better than that.
    pub fn lost_to_routing(&self) -> f64 {
        self.pooled_lru_hit_rate - self.hit_rate
    }

    /// What a better choice of blocks to evict could have won.
    pub fn lost_to_eviction(&self) -> f64 {
        self.optimal_hit_rate - self.pooled_lru_hit_rate
    }

    /// What more memory could have won.
    pub fn lost_to_memory(&self) -> f64 {
        self.infinite_hit_rate - self.optimal_hit_rate
    }

    /// The share of prompt tokens that are seen for the first time, and ends of prompts.
    pub fn cold(&self) -> f64 {
        1.0 - self.infinite_hit_rate
    }

    /// How many times the least mean TTFT the run's mean is.
    pub fn ttft_ratio(&self) -> Option<f64> {
        (self.least_ttft_mean_s > 0.0).then(|| self.ttft_mean_s / self.least_ttft_mean_s)
    }

    /// Panics if the run is better than what cannot be beaten: then a bound or the simulation is wrong.
    /// `in_memory`: each block is in a memory at any time, and never on a link only.
    pub fn check(&self, in_memory: bool) {
        let hits = [
            ("an infinite cache", self.infinite_hit_rate, true),
            ("the optimal cache", self.optimal_hit_rate, in_memory),
        ];
        for (what, bound, holds) in hits {
            let reached = self.hit_rate;
            assert!(
                !holds || reached <= bound + 1e-12,
                "hit rate {reached} passes {bound} of {what}"
            );
        }
        let times = [
            ("TTFT", self.ttft_mean_s, self.least_ttft_mean_s),
            ("latency", self.latency_mean_s, self.least_latency_mean_s),
        ];
        for (what, reached, least) in times {
            // Times of a run are whole nanoseconds.
            assert!(
                reached >= least * (1.0 - 1e-9) - 1e-9,
                "mean {what} {reached} s is below {least} s"
            );
        }
    }
}
