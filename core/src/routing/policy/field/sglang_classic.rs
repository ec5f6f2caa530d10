//! `cache_aware` of SGLang's router, as it was until its gateway became SMG (sgl-project/sglang,
//! `sgl-router/src/policies/cache_aware.rs` and `tree.rs` at 026f853b, defaults of `src/main.rs`):
//!
//! ```text
//! imbalanced = most - least > abs  and  most > rel x least       (requests under way)
//! imbalanced            -> the worker with the fewest requests, whatever it holds
//! match / L > threshold -> the worker with the longest match
//! otherwise             -> the worker with the smallest tree
//! ```
//!
//! The match is that of a tree of the texts that were sent to each worker. Each request is added to the
//! tree of the worker that it is sent to, also while the load is imbalanced. Among the fewest requests
//! the first worker wins. The original takes an arbitrary worker among equal matches and among equal
//! trees (the first of a hash map); here chance decides. Where the match belongs to a worker that is
//! gone, the original takes the first worker; here such workers have no match.
//!
//! The defaults are those of the command line. Those of the library:
//! `sglang-classic(threshold=0.5,abs=32,rel=1.1,tree=10000)`; `cache_aware` of vllm-project/router has
//! the same rule with these three constants.

use super::text_tree::{TextTree, share};
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Least, lot};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;
use core::cmp::Reverse;

parameters! {
    /// SGLang's classic cache_aware: the longest match, the smallest tree, or the shortest queue.
    pub struct SglangClassic {
        /// The part of a prompt that must match more than this to follow the match
        /// (--cache-threshold).
        threshold: f64 = 0.3, 0.0..=1.0, "";
        /// Requests that the busiest worker may have more than the idlest (--balance-abs-threshold).
        abs: u32 = 64, 0..=1_000_000, "requests";
        /// Multiple of the idlest worker's requests that the busiest may have
        /// (--balance-rel-threshold).
        rel: f64 = 1.5, 0.0..=1_000.0, "x";
        /// Size of a worker's tree (--max-tree-size).
        tree: u32 = 67_108_864, 1..=4_294_967_295, "characters";
        /// Where matches come from. The size of a tree is always that of what was sent.
        index: Index = Index::Predicted, (), "";
    }
}

impl Policy for SglangClassic {
    const NAME: &'static str = "sglang-classic";
    const RULE: &'static str =
        "SGLang cache_aware: longest match or smallest tree; shortest queue while imbalanced.";

    type Memory = TextTree;

    fn memory(&self) -> TextTree {
        TextTree::new(self.tree)
    }

    fn observe(&self, tree: &mut TextTree, now: Instant, what: &Observed<'_>) {
        tree.observe(now, what);
    }

    fn choose(&self, tree: &TextTree, request: &Request, view: &FleetView<'_>) -> Choice {
        let belief = tree.belief(self.index, request, view);
        // Equal loads go to the first worker, so it has no lot.
        let (mut most, mut idlest) = (0, Least::new());
        let (mut best, mut smallest) = (Least::new(), Least::new());
        let mut longest = 0;
        for (id, worker) in view.workers() {
            let (blocks, chance) = (belief.blocks(id), lot(view, request, id));
            most = most.max(worker.active());
            idlest.weigh(id, worker.active(), 0);
            best.weigh(id, Reverse(blocks), chance);
            smallest.weigh(id, tree.size(id), chance);
            longest = longest.max(blocks);
            let parts = || {
                [
                    ("matched blocks", f64::from(blocks)),
                    ("active requests", f64::from(worker.active())),
                    ("tree size", tree.size(id) as f64),
                ]
            };
            view.note_highest(id, f64::from(blocks), parts);
        }
        let idlest = idlest.worker().expect("a view is never empty");
        let least = view.worker(idlest).map_or(0, |worker| worker.active());
        let imbalanced = most - least > self.abs && f64::from(most) > f64::from(least) * self.rel;
        view.note_because(if imbalanced {
            "the loads are too uneven: the fewest active requests"
        } else if share(request, longest) > self.threshold {
            "the match is long enough: the longest match"
        } else {
            "the match is too short: the smallest tree"
        });
        let worker = if imbalanced {
            Some(idlest)
        } else if share(request, longest) > self.threshold {
            best.worker()
        } else {
            smallest.worker()
        };
        let worker = worker.expect("a view is never empty");
        Decision::new(worker, belief.by_tier(worker)).into()
    }
}
