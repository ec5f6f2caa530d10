//! `prefixaware` of vLLM's production-stack (vllm-project/production-stack, class `PrefixAwareRouter` of
//! `src/vllm_router/routers/routing_logic.py` and `src/vllm_router/prefix/hashtrie.py` at a6c01db0): a
//! trie of the prompts that were sent, in chunks of 128 characters.
//!
//! ```text
//! match < min_match -> the lowest QPS
//! otherwise         -> a random one of the workers with the longest match
//! ```
//!
//! Without any match all workers are equal, so the first request of a prefix goes to a random one, and
//! all that follow go there too. Load plays no part. Nothing leaves the trie: neither what a worker has
//! evicted, nor what it held before a restart.
//!
//! A token counts as four characters. Simplified: the original also counts the last chunk of a prompt
//! where it is not full.

use super::lowest_qps::LowestQps;
use super::text_tree::{Belief, CHARACTERS};
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Least, Predicted, Prediction, lot};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;
use core::cmp::Reverse;

parameters! {
    /// production-stack's prefixaware: a random worker of those with the longest match.
    pub struct ProductionStackPrefixaware {
        /// Characters of a chunk (chunk_size).
        chunk: u32 = 128, 1..=1_000_000, "characters";
        /// A shorter match is ignored (--prefix-min-match-length).
        min_match: u32 = 0, 0..=4_294_967_295, "characters";
        /// Time over which QPS are counted (--request-stats-window).
        window_s: f64 = 60.0, 0.001..=3_600.0, "s";
        /// Where matches come from.
        index: Index = Index::Predicted, (), "";
    }
}

/// The trie, and what the fall-back needs.
#[derive(Debug)]
pub struct Trie {
    sent: Predicted,
    qps: LowestQps,
}

impl Policy for ProductionStackPrefixaware {
    const NAME: &'static str = "production-stack-prefixaware";
    const RULE: &'static str =
        "production-stack prefixaware: a random worker of those with the longest match.";

    type Memory = Trie;

    fn memory(&self) -> Trie {
        let sent = Predicted::new(Prediction {
            block_tokens: self.chunk.div_ceil(CHARACTERS),
            most_blocks: u32::MAX,
            capacity: u32::MAX,
            ttl: None,
        });
        Trie { sent, qps: LowestQps::new(self.window_s) }
    }

    fn observe(&self, trie: &mut Trie, now: Instant, what: &Observed<'_>) {
        trie.qps.observe(now, what);
        // The trie does not hear of workers that come and go.
        if let Observed::Dispatched { request, decision } = *what {
            trie.sent.insert(now, decision.worker, &request.prompt);
        }
    }

    fn choose(&self, trie: &Trie, request: &Request, view: &FleetView<'_>) -> Choice {
        let belief = Belief::new(self.index, &trie.sent, request, view);
        let mut best = Least::new();
        let mut longest = 0;
        for (id, _) in view.workers() {
            let blocks = belief.blocks(id);
            longest = longest.max(blocks);
            view.note_highest(id, f64::from(blocks), || [("matched blocks", f64::from(blocks))]);
            best.weigh(id, Reverse(blocks), lot(view, request, id));
        }
        let per_block = u64::from(request.prompt.block_size()) * u64::from(CHARACTERS);
        view.note_because(match u64::from(longest) * per_block < u64::from(self.min_match) {
            true => "the match is too short: the fewest requests a second",
            false => "the longest match",
        });
        let worker = if u64::from(longest) * per_block < u64::from(self.min_match) {
            trie.qps.worker(view)
        } else {
            best.worker().expect("a view is never empty")
        };
        Decision::new(worker, belief.by_tier(worker)).into()
    }
}
