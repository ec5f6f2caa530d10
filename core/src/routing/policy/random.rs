//! A worker by lot. The lot is a hash of the request's id, so a replay draws the same.

use super::Policy;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::input::Decision;
use crate::routing::view::FleetView;

#[derive(Clone, Copy, Default, Debug)]
pub struct Random;

impl Policy for Random {
    type Memory = ();

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Decision {
        let mut workers = view.workers();
        let lot = hash_words(&[view.seed(), request.id.0]) % workers.len() as u64;
        let (worker, _) = workers.nth(lot as usize).expect("a view is never empty");
        Decision::blind(worker)
    }
}
