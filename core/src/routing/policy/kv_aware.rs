//! The worker with the least expected time to the first token, in seconds:
//!
//! ```text
//! cost(w) = queue(w)            predicted prefill work booked on w and not yet done
//!         + prefill(w, L, hit)  computing the L - hit tokens that w does not hold
//!         + load(w, hit)        fetching the part of the hit that lies behind HBM
//! ```
//!
//! Where a pool or a peer holds more of the prompt than `w`, and fetching that takes less time than
//! computing it, `hit` is what that source holds, and `load` what the fetch takes.
//!
//! `hit` counts blocks that w holds and blocks that earlier requests will have computed there. Ties
//! go to the worker with fewer active requests, then by a hash of request and worker, so that a
//! cold fleet fills evenly.

use super::parameter::parameters;
use super::parts::{Cheapest, Held, Lots, Way, Ways};
use super::rule::Policy;
use crate::request::Request;
use crate::routing::candidate::{Candidate, Terms};
use crate::routing::decision::Choice;
use crate::routing::fleet::WorkerState;
use crate::routing::view::FleetView;

parameters! {
    /// The worker with the least expected time to the first token.
    pub struct KvAware {}
}

impl Policy for KvAware {
    const NAME: &'static str = "kv-aware";
    const RULE: &'static str = "The worker with the least expected seconds to the first token.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = view.overlap(&request.prompt);
        let tokens = request.prompt.tokens();
        let mut ways = Ways::of(&overlap, view, tokens);
        let lots = Lots::of(view, request);
        let mut best = Cheapest::default();
        let weigh =
            |best: &mut Cheapest, ways: &mut Ways<'_>, entry, id, worker: WorkerState<'_>| {
                let held = Held::of(entry, worker.alike(), tokens);
                let way = ways.cheapest(id, worker.kind(), &held);
                let (active, queue) = (worker.active(), worker.backlog(view.now()));
                let terms =
                    Terms { queue, prefill: way.prefill, load: way.load, ..Terms::default() };
                let lot = || lots.of_worker(id);
                best.weigh(view, (terms.total(), active), lot, |lot| Candidate {
                    worker: id,
                    active,
                    overlap: Some(held.by_tier),
                    pull: way.pull,
                    terms: Some(terms),
                    lot,
                });
            };
        let mut found = overlap.in_order();
        if view.is_noting() {
            for (id, worker) in view.workers() {
                weigh(&mut best, &mut ways, found.entry(id), id, worker);
            }
            return best.decision().into();
        }
        for (entry, id, worker) in view.holding(&overlap) {
            weigh(&mut best, &mut ways, Some(entry), id, worker);
        }
        // The others of a kind differ by their queues only.
        let least = |way: Way| way.prefill + way.load;
        if view.kinds().any(|kind| best.may_win((least(ways.of_nothing(kind)), 0), || 0)) {
            for (id, queue) in view.queues() {
                let way = ways.of_nothing(view.kind(queue.kind));
                let total = queue.backlog(view.now()) + least(way);
                let may_win = best.may_win((total, queue.active()), || lots.of_worker(id));
                if may_win && found.entry(id).is_none() {
                    let worker = view.worker(id).expect("an eligible worker is in the fleet");
                    weigh(&mut best, &mut ways, None, id, worker);
                }
            }
        }
        best.decision().into()
    }
}
