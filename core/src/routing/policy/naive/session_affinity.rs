//! A session stays with its worker, unless that one has too much to do.
//!
//! Consistent hashing with bounded load (Mirrokni, Thorup and Zadimoghaddam, 2017), with rendezvous
//! order (Thaler and Ravishankar, 1998) in place of a ring: each session ranks the workers by a hash
//! of both, and takes the first whose requests under way stay below
//!
//! ```text
//! limit = ceil(bound x (requests under way in the fleet + 1) / workers)
//! ```
//!
//! So a worker that joins or leaves moves only the sessions that rank it first. Requests without a
//! session are spread by their id.

use super::super::parameter::parameters;
use super::super::rule::Policy;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Choice, Decision};
use crate::routing::view::FleetView;

parameters! {
    /// A session stays with its worker while that worker's load is bounded.
    pub struct SessionAffinity {
        /// Requests under way that a worker may have, as a multiple of the fleet's mean. A session
        /// goes to its next worker beyond that.
        bound: f64 = 1.25, 1.0..=1_000.0, "x mean";
    }
}

impl Policy for SessionAffinity {
    const NAME: &'static str = "session-affinity";
    const RULE: &'static str =
        "A session stays with its worker while that worker's load is bounded.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let key = match request.session {
            Some(session) => [1, session.0],
            None => [2, request.id.0],
        };
        let count = view.workers().len() as f64;
        let active: u64 = view.workers().map(|(_, worker)| u64::from(worker.active())).sum();
        // At least the next whole number above the fleet's mean, so some worker is always below it.
        let limit = libm::ceil(self.bound * (active + 1) as f64 / count) as u64;
        let best = view
            .workers()
            .filter(|(_, worker)| u64::from(worker.active()) < limit)
            .min_by_key(|(id, _)| hash_words(&[view.seed(), key[0], key[1], u64::from(id.0)]));
        let (worker, _) = best.expect("a worker is below the limit");
        for (id, worker) in view.workers() {
            let place = hash_words(&[view.seed(), key[0], key[1], u64::from(id.0)]);
            let place = place as f64 / u64::MAX as f64;
            let parts = [("active requests", f64::from(worker.active())), ("limit", limit as f64)];
            view.note_lowest(id, place, &parts);
        }
        view.note_because(match request.session {
            Some(_) => "the first worker below the limit in the order of the session's hashes",
            None => "no session: the first worker below the limit in the order of its hashes",
        });
        Decision::blind(worker).into()
    }
}
