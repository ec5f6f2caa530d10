//! "Sticky until saturated", what llm-d's guides deploy since July 2026 (`optimized-baseline`,
//! `agentic-serving`, `precise-prefix-cache-routing`): a filter, then the fewest tokens under way
//! (`llm-d-router` ebab6879, `scheduling/filter/prefixcacheaffinity`, `scheduling/scorer/tokenload`).
//!
//! ```text
//! sticky: workers that hold at least the threshold of the prompt's blocks
//! if there are any, only they may have the request, unless
//!     least tokens under way of the sticky - least of the others > penalty x throughput
//! of those, the one with the fewest tokens under way, the request's new ones included
//! ```
//!
//! The throughput is that of Qwen3-32B on two H100s with vLLM 0.19; llm-d says to measure one's own. A
//! request's tokens count until its first token. The index from events is
//! `precise-prefix-cache-routing`'s.

use super::prefix::{Matches, Prefixes};
use super::scorers::Profile;
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::decision::Choice;
use crate::routing::fleet::WorkerState;
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Predicted, unit};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;

parameters! {
    /// llm-d's affinity filter, then the fewest tokens under way.
    pub struct LlmDSticky {
        /// The part of a prompt's blocks that a sticky worker holds; 0 turns the filter off
        /// (affinityThreshold).
        threshold: f64 = 0.8, 0.0..=1.0, "";
        /// By how much the first token may be later on a sticky worker; 0: by any time
        /// (maxTTFTPenaltyMs).
        penalty_ms: f64 = 18_000.0, 0.0..=1_000_000_000.0, "ms";
        /// What makes milliseconds of tokens (peakPrefillThroughput).
        throughput: f64 = 15_928.0, 0.001..=1_000_000_000.0, "tokens/s";
        /// The probability that the filter is skipped (explorationProbability).
        explore: f64 = 0.0, 0.0..=1.0, "";
        /// Tokens under way that count as most (queueThresholdTokens).
        tokens_most: u32 = 4_194_304, 1..=4_000_000_000, "tokens";
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
    }
}

impl Policy for LlmDSticky {
    const NAME: &'static str = "llm-d-sticky";
    const RULE: &'static str =
        "llm-d: a worker that holds most of the prompt, unless all of them are saturated.";

    type Memory = Predicted;

    fn memory(&self) -> Predicted {
        self.prefixes().predicted()
    }

    fn observe(&self, predicted: &mut Predicted, now: Instant, what: &Observed<'_>) {
        self.prefixes().observe(predicted, now, what);
    }

    fn choose(&self, predicted: &Predicted, request: &Request, view: &FleetView<'_>) -> Choice {
        let matches = self.prefixes().matches(predicted, request, view);
        let sticks = self.sticks(&matches, request, view);
        let may_have = |id, _: WorkerState<'_>| !sticks || self.is_sticky(id, &matches);
        let token_threshold = self.tokens_most;
        let profile = Profile { token_load: 1.0, token_threshold, ..Profile::EMPTY };
        profile.choose(&matches, None, request, view, may_have)
    }
}

impl LlmDSticky {
    const fn prefixes(&self) -> Prefixes {
        let &Self { index, block_tokens, max_tokens, capacity, auto_tune, .. } = self;
        Prefixes { index, block_tokens, max_tokens, capacity, auto_tune }
    }

    fn is_sticky(&self, worker: WorkerId, matches: &Matches<'_>) -> bool {
        matches.ratio(worker) >= self.threshold
    }

    /// Whether only sticky workers may have the request.
    fn sticks(&self, matches: &Matches<'_>, request: &Request, view: &FleetView<'_>) -> bool {
        if self.threshold <= 0.0 || unit(view, request, 0) < self.explore {
            return false;
        }
        let (mut sticky, mut others) = (None::<u64>, None::<u64>);
        for (id, worker) in view.workers() {
            let least = if self.is_sticky(id, matches) { &mut sticky } else { &mut others };
            let tokens = worker.queued_tokens();
            *least = Some(least.map_or(tokens, |least| least.min(tokens)));
        }
        let ms = |tokens: u64| tokens as f64 / self.throughput * 1_000.0;
        match (sticky, others) {
            (None, _) => false,
            (Some(sticky), Some(others)) if self.penalty_ms > 0.0 => {
                ms(sticky) - ms(others) <= self.penalty_ms
            }
            (Some(_), _) => true,
        }
    }
}
