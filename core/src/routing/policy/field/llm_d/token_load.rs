//! llm-d's token-load scorer alone (`llm-d-router` ebab6879, `scheduling/scorer/tokenload`): the fewest
//! prompt tokens under way, this request's included. Tokens that are believed cached do not count. A
//! request's tokens count until its first token.

use super::prefix::Prefixes;
use super::scorers::Profile;
use crate::request::Request;
use crate::routing::decision::Choice;
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Predicted};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;

parameters! {
    /// llm-d's token-load scorer: the fewest uncached prompt tokens under way.
    pub struct LlmDTokenLoad {
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

impl Policy for LlmDTokenLoad {
    const NAME: &'static str = "llm-d-token-load";
    const RULE: &'static str =
        "llm-d: the fewest uncached prompt tokens under way, the request's own included.";

    type Memory = Predicted;

    fn memory(&self) -> Predicted {
        self.prefixes().predicted()
    }

    fn observe(&self, predicted: &mut Predicted, now: Instant, what: &Observed<'_>) {
        self.prefixes().observe(predicted, now, what);
    }

    fn choose(&self, predicted: &Predicted, request: &Request, view: &FleetView<'_>) -> Choice {
        let matches = self.prefixes().matches(predicted, request, view);
        let token_threshold = self.tokens_most;
        let profile = Profile { token_load: 1.0, token_threshold, ..Profile::EMPTY };
        profile.choose(&matches, None, request, view, |_, _| true)
    }
}

impl LlmDTokenLoad {
    const fn prefixes(&self) -> Prefixes {
        let &Self { index, block_tokens, max_tokens, capacity, auto_tune, .. } = self;
        Prefixes { index, block_tokens, max_tokens, capacity, auto_tune }
    }
}
