//! The two-tier policy that comes with NVIDIA Dynamo's router as an alternative to its additive cost
//! (`dynamo-custom-policy-builtin` 1.6.1, `src/two_tier_cost_fn.rs`), which took it over from
//! `sgl-router`'s `cache_aware_zmq`. The first that applies:
//!
//! ```text
//! most active - least active > abs  and  most active > rel x least active:  the least active
//! most blocks in HBM / blocks of the request > threshold:  the least active of those with the most
//! otherwise:                                               the least active
//! ```
//!
//! Active: requests sent and not ended. Blocks of the request: with a last one that is not full. Equals
//! go to the first; Dynamo takes its own order of workers, which it leaves unspecified. Only blocks in
//! HBM that events have announced count. An index look-up finds at most the blocks that a request may
//! reuse, so a prompt of whole blocks that is cached whole counts one block less.

use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::fleet::WorkerState;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;

parameters! {
    /// Dynamo's two tiers: balance where loads are far apart, else the best hit, else the least load.
    pub struct DynamoTwoTier {
        /// A hit counts where it is a larger part of the request (cache_threshold).
        threshold: f64 = 0.5, 0.0..=1.0, "";
        /// Loads are far apart if they differ by more than this (balance_abs_threshold).
        abs: u32 = 32, 0..=1_000_000, "requests";
        /// And if the most loaded has more than this multiple of the least (balance_rel_threshold).
        rel: f64 = 1.1, 1.0..=1_000.0, "x";
    }
}

impl Policy for DynamoTwoTier {
    const NAME: &'static str = "dynamo-two-tier";
    const RULE: &'static str = "Dynamo 1.6: least loaded when loads are far apart, else the longest hit, else least loaded.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = view.overlap(&request.prompt);
        let in_hbm = |id| overlap.stored(id)[0];
        let (mut least, mut most, mut longest) = (u32::MAX, 0, 0);
        for (id, worker) in view.workers() {
            least = least.min(worker.active());
            most = most.max(worker.active());
            longest = longest.max(in_hbm(id));
            let active = f64::from(worker.active());
            let parts = || [("hit blocks", f64::from(in_hbm(id))), ("active requests", active)];
            view.note_lowest(id, active, parts);
        }
        let is_uneven = most - least > self.abs && f64::from(most) > self.rel * f64::from(least);
        let blocks = request.prompt.tokens().div_ceil(request.prompt.block_size()).max(1);
        let is_hit = f64::from(longest) / f64::from(blocks) > self.threshold;
        let may_have = |id| is_uneven || !is_hit || in_hbm(id) == longest;
        view.note_because(match (is_uneven, is_hit) {
            (true, _) => "the loads are too uneven: the fewest active requests",
            (false, false) => "the hit is too short: the fewest active requests",
            (false, true) => "the fewest active requests of those with the longest hit",
        });
        let worker = least_active(view, may_have);
        Decision::new(worker, overlap.stored(worker)).into()
    }
}

/// The first of those with the fewest requests.
fn least_active(view: &FleetView<'_>, may_have: impl Fn(WorkerId) -> bool) -> WorkerId {
    let may_have = |&(id, _): &(WorkerId, WorkerState<'_>)| may_have(id);
    let least = view.workers().filter(may_have).min_by_key(|(_, worker)| worker.active());
    least.expect("a view is never empty").0
}
