//! `loadaware` of vLLM's production-stack (vllm-project/production-stack PR#1035, merged in August 2026;
//! the formula and the default are those of its description):
//!
//! ```text
//! score(w) = matched(w) / L - beta x (load(w) - mean) / max(1, mean)
//! ```
//!
//! The highest score wins. matched: prompt tokens that LMCache's controller says w holds, in chunks of
//! 256. load: requests under way, as the router counts them. The score has no unit: at beta = 1, twice
//! the mean load costs as much as the whole prompt is worth.
//!
//! Not clear from what was read, and so a choice made here: among equals the first worker wins, as with
//! Python's `max`. Each holder has its own match; today's controller names only the first holder of each
//! chunk (LMCache PR#4471 changes that).

use crate::id::MAX_TIERS;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::Least;
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;

parameters! {
    /// production-stack's loadaware: the cached part of the prompt less the load above the mean.
    pub struct ProductionStackLoadaware {
        /// Cached parts of a prompt that a load of twice the mean costs (beta).
        beta: f64 = 1.0, 0.0..=1_000.0, "";
        /// What the look-up counts in (LMCache's chunk_size).
        chunk: u32 = 256, 1..=1_000_000, "tokens";
    }
}

impl Policy for ProductionStackLoadaware {
    const NAME: &'static str = "production-stack-loadaware";
    const RULE: &'static str =
        "production-stack loadaware: cached part of the prompt less the load relative to the mean.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let found = view.overlap(&request.prompt);
        let tokens = f64::from(request.prompt.tokens().max(1));
        let matched = |held: [u32; MAX_TIERS]| {
            let blocks = held.iter().fold(0u32, |sum, &blocks| sum.saturating_add(blocks));
            let tokens = blocks.saturating_mul(request.prompt.block_size());
            f64::from(tokens / self.chunk * self.chunk)
        };
        let sum: u64 = view.workers().map(|(_, worker)| u64::from(worker.active())).sum();
        let mean = sum as f64 / view.workers().len() as f64;
        let mut least = Least::new();
        for (id, worker) in view.workers() {
            let load = (f64::from(worker.active()) - mean) / mean.max(1.0);
            // Equal costs go to the first worker, so it has no lot.
            let matched = matched(found.stored(id));
            let cost = self.beta * load - matched / tokens;
            let active = f64::from(worker.active());
            view.note_lowest(id, cost, || {
                [("matched tokens", matched), ("active requests", active)]
            });
            least.weigh(id, cost, 0);
        }
        let worker = least.worker().expect("a view is never empty");
        Decision::new(worker, found.stored(worker)).into()
    }
}
