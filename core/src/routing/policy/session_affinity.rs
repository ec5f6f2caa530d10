//! A session stays with its worker, unless that one has too much to do.
//!
//! Consistent hashing with bounded load (Mirrokni, Thorup and Zadimoghaddam, 2017), with rendezvous
//! order (Thaler and Ravishankar, 1998) in place of a ring: each session ranks the workers by a hash
//! of both, and takes the first whose requests under way stay below
//!
//! ```text
//! bound = ceil(1.25 x (requests under way in the fleet + 1) / workers)
//! ```
//!
//! A worker that joins or leaves so moves only the sessions that rank it first. Requests without a
//! session are spread by their id.

use super::Policy;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::input::Decision;
use crate::routing::view::FleetView;

#[derive(Clone, Copy, Default, Debug)]
pub struct SessionAffinity;

impl Policy for SessionAffinity {
    type Memory = ();

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Decision {
        let key = match request.session {
            Some(session) => [1, session.0],
            None => [2, request.id.0],
        };
        let count = view.workers().len() as u64;
        let active: u64 = view.workers().map(|(_, worker)| u64::from(worker.active())).sum();
        // 1.25 as 5 / 4; the mean over the fleet is below the bound, so someone always has room.
        let bound = (5 * (active + 1)).div_ceil(4 * count);
        let best = view
            .workers()
            .filter(|(_, worker)| u64::from(worker.active()) < bound)
            .min_by_key(|(id, _)| hash_words(&[view.seed(), key[0], key[1], u64::from(id.0)]));
        let (worker, _) = best.expect("someone is below the bound");
        Decision::blind(worker)
    }
}
