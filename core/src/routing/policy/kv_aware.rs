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
use super::parts::{Ways, lot};
use super::rule::Policy;
use crate::request::Request;
use crate::routing::candidate::{Candidate, Terms};
use crate::routing::decision::{Choice, Decision};
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
        let mut best: Option<Candidate> = None;
        for (id, worker) in view.workers() {
            let hit = overlap.of_worker(id);
            let way = ways.cheapest(id, &worker.info, &hit);
            let candidate = Candidate {
                worker: id,
                active: worker.active(),
                overlap: Some(hit),
                pull: way.pull,
                terms: Some(Terms {
                    queue: worker.backlog(view.now()),
                    prefill: way.prefill,
                    load: way.load,
                    ..Terms::default()
                }),
                lot: lot(view, request, id),
            };
            view.note(&candidate);
            if best.is_none_or(|best| candidate.rank() < best.rank()) {
                best = Some(candidate);
            }
        }
        let Candidate { worker, overlap, pull, .. } = best.expect("a view is never empty");
        Decision { worker, overlap, pull, decode: None }.into()
    }
}
