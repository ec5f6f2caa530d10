//! `kv_aware` of vLLM's router (vllm-project/router, `src/policies/kv_aware.rs` and
//! `src/kv_index/{index,scorer}.rs` at dda6063b; `precise_cache_aware` is the same rule):
//!
//! ```text
//! a worker holds a block -> the worker that holds the most blocks of the prompt, from its start
//! none does              -> the worker with the fewest requests under way
//! ```
//!
//! There is no load term. Among equal matches the last worker wins, among equal loads the first, since
//! that is what the original's iterators return. The index has no tiers: a block counts the same
//! wherever it is. (The index that the project builds now, `src/kv_index/indexer.rs` at 57baaf95, knows
//! tiers, but what uses it asks for HBM only. No version that was read has penalties for tiers.)
//!
//! The router writes the prompt's blocks into the index when it sends a request, for
//! `speculative_ttl` = 2 s, so that requests on the same prefix follow at once. Simplified: here they
//! are the pending blocks that every router of this project keeps until the events about them should
//! have come.

use crate::id::{MAX_TIERS, WorkerId};
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;

parameters! {
    /// vLLM router's kv_aware: the most cached blocks, whatever the load.
    pub struct VllmRouterKvAware {
        /// Whether blocks count that were sent and not yet announced (enable_speculative).
        speculative: bool = true, (), "";
    }
}

impl Policy for VllmRouterKvAware {
    const NAME: &'static str = "vllm-router-kv-aware";
    const RULE: &'static str =
        "vLLM router kv_aware: the most cached blocks, whatever the load; else fewest requests.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let found = view.overlap(&request.prompt);
        let held = |id: WorkerId| -> [u32; MAX_TIERS] {
            if self.speculative { found.of_worker(id) } else { found.stored(id) }
        };
        let blocks = |id| held(id).iter().fold(0u32, |sum, &blocks| sum.saturating_add(blocks));
        let best = view.workers().map(|(id, _)| (blocks(id), id)).max();
        let (most, best) = best.expect("a view is never empty");
        let idlest = view.workers().map(|(id, worker)| (worker.active(), id)).min();
        let (_, idlest) = idlest.expect("a view is never empty");
        for (id, worker) in view.workers() {
            let (blocks, active) = (f64::from(blocks(id)), f64::from(worker.active()));
            view.note_highest(id, blocks, || [("hit blocks", blocks), ("active requests", active)]);
        }
        view.note_because(match most > 0 {
            true => "the longest hit",
            false => "no hit: the fewest active requests",
        });
        let worker = if most > 0 { best } else { idlest };
        Decision::new(worker, held(worker)).into()
    }
}
