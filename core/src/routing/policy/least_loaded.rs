//! The worker with the fewest requests under way; ties by a hash of request and worker.

use super::Policy;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::input::Decision;
use crate::routing::view::FleetView;

#[derive(Clone, Copy, Default, Debug)]
pub struct LeastLoaded;

impl Policy for LeastLoaded {
    type Memory = ();

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Decision {
        let best = view.workers().min_by_key(|(id, worker)| {
            let lot = hash_words(&[view.seed(), request.id.0, u64::from(id.0)]);
            (worker.active(), lot)
        });
        let (worker, _) = best.expect("a view is never empty");
        Decision::blind(worker)
    }
}
