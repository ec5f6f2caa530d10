//! `prefix-cache` of AIBrix (vllm-project/aibrix, `pkg/plugins/gateway/algorithms/prefix_cache.go` and
//! `pkg/utils/prefixcacheindexer/hash.go` at e3e10f9e):
//!
//! ```text
//! most - least requests > imbalance -> only the workers with the fewest requests count
//! of those with a match and at most mean + sigmas x standard deviation requests:
//!     the longest match in whole per cent, then the fewest requests, then chance
//! none                              -> the fewest requests of all, then chance
//! ```
//!
//! Requests are those under way, as the gateway counts them. Mean and deviation are over all workers;
//! the deviation is that of a sample, with n - 1 below. The index holds blocks of 128 characters that
//! were sent, for 20 minutes. With `index=exact` it is the gateway's index of KV events
//! (AIBRIX_PREFIX_CACHE_KV_EVENT_SYNC_ENABLED).
//!
//! A token counts as four characters. Defaults: the constants in the code; the block is that of the
//! deployed configuration (the code says 4 bytes). The deployed configuration also has 16 requests and
//! 2 deviations: `aibrix-prefix-cache(imbalance=16,sigmas=2)`. Simplified: the original keeps 200,000
//! blocks in one table for all workers, here each worker has as many; a block's 20 minutes begin anew
//! for all its workers with each use there, here for the worker that it was sent to.

use super::text_tree::{Belief, CHARACTERS};
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::fleet::WorkerState;
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Least, Predicted, Prediction, lot};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use core::cmp::Reverse;

parameters! {
    /// AIBrix's prefix-cache: the longest match among workers that are not far above the mean load.
    pub struct AibrixPrefixCache {
        /// Difference of requests above which only the idlest workers count
        /// (AIBRIX_PREFIX_CACHE_POD_RUNNING_REQUEST_IMBALANCE_ABS_COUNT).
        imbalance: u32 = 8, 0..=1_000_000, "requests";
        /// Standard deviations above the mean that a worker's requests may be
        /// (AIBRIX_PREFIX_CACHE_STANDARD_DEVIATION_FACTOR).
        sigmas: f64 = 1.0, 0.0..=1_000.0, "";
        /// Size of a block (AIBRIX_PREFIX_CACHE_BLOCK_SIZE).
        block: u32 = 128, 1..=1_000_000, "characters";
        /// Blocks of a worker that are remembered (AIBRIX_PREFIX_CACHE_BLOCK_NUMBER).
        blocks: u32 = 200_000, 1..=1_000_000_000, "blocks";
        /// How long a block is remembered (AIBRIX_PREFIX_CACHE_EVICTION_DURATION_MINS).
        ttl_min: f64 = 20.0, 0.001..=100_000.0, "min";
        /// Where matches come from.
        index: Index = Index::Predicted, (), "";
    }
}

impl Policy for AibrixPrefixCache {
    const NAME: &'static str = "aibrix-prefix-cache";
    const RULE: &'static str =
        "AIBrix prefix-cache: the longest match among workers within a deviation of the mean load.";

    type Memory = Predicted;

    fn memory(&self) -> Predicted {
        Predicted::new(Prediction {
            block_tokens: self.block_tokens(),
            most_blocks: u32::MAX,
            capacity: self.blocks,
            ttl: Some(Duration::from_secs_f64(self.ttl_min * 60.0)),
        })
    }

    fn observe(&self, sent: &mut Predicted, now: Instant, what: &Observed<'_>) {
        sent.observe(now, what);
    }

    fn choose(&self, sent: &Predicted, request: &Request, view: &FleetView<'_>) -> Choice {
        let belief = Belief::new(self.index, sent, request, view);
        let loads = || view.workers().map(|(_, worker)| worker.active());
        let most = loads().max().unwrap_or(0);
        let least = loads().min().unwrap_or(0);
        let is_imbalanced = most - least > self.imbalance;
        let limit = self.limit(view);
        let whole = self.whole_blocks(request);
        let (mut best, mut idlest) = (Least::new(), Least::new());
        for (id, worker) in view.workers() {
            let (load, chance) = (worker.active(), lot(view, request, id));
            idlest.weigh(id, load, chance);
            let blocks = belief.blocks(id);
            let parts =
                || [("matched blocks", f64::from(blocks)), ("active requests", f64::from(load))];
            view.note_highest(id, f64::from(blocks), parts);
            if blocks > 0 && f64::from(load) <= limit && (load == least || !is_imbalanced) {
                let per_cent = u64::from(blocks) * 100 / whole;
                best.weigh(id, (Reverse(per_cent), load), chance);
            }
        }
        view.note_because(match best.worker() {
            Some(_) => "the longest match of the workers within the load limit",
            None => "no match within the load limit: the fewest active requests",
        });
        let worker = best.worker().or_else(|| idlest.worker()).expect("a view is never empty");
        Decision::new(worker, belief.by_tier(worker)).into()
    }
}

impl AibrixPrefixCache {
    fn block_tokens(&self) -> u32 {
        self.block.div_ceil(CHARACTERS)
    }

    /// Blocks of the prompt in whole blocks of the index, at least 1.
    fn whole_blocks(&self, request: &Request) -> u64 {
        let prompt = &request.prompt;
        let step = match self.index {
            Index::Exact => 1,
            Index::Predicted => self.block_tokens().div_ceil(prompt.block_size()).max(1),
        };
        u64::from(prompt.blocks() / step * step).max(1)
    }

    /// The most requests that a worker with a match may have.
    fn limit(&self, view: &FleetView<'_>) -> f64 {
        let count = view.workers().len() as f64;
        let load = |(_, worker): (WorkerId, WorkerState<'_>)| f64::from(worker.active());
        let mean = view.workers().map(load).sum::<f64>() / count;
        if count < 2.0 {
            return mean;
        }
        let square = |load: f64| (load - mean) * (load - mean);
        let sum: f64 = view.workers().map(load).map(square).sum();
        mean + self.sigmas * libm::sqrt(sum / (count - 1.0))
    }
}
