//! The worker with the fewest requests under way; ties by a hash of request and worker.

use super::super::parameter::parameters;
use super::super::rule::Policy;
use crate::id::WorkerId;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Choice, Decision};
use crate::routing::fleet::WorkerState;
use crate::routing::view::FleetView;

parameters! {
    /// The worker with the fewest requests under way.
    pub struct LeastLoaded {}
}

impl Policy for LeastLoaded {
    const NAME: &'static str = "least-loaded";
    const RULE: &'static str = "The worker with the fewest requests under way.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let (worker, _) = least_loaded(request, view);
        Decision::blind(worker).into()
    }
}

/// Of the workers that may serve the request, the one with the fewest requests under way.
pub(in crate::routing::policy) fn least_loaded<'a>(
    request: &Request,
    view: &FleetView<'a>,
) -> (WorkerId, WorkerState<'a>) {
    let best = view.workers().min_by_key(|(id, worker)| {
        let active = f64::from(worker.active());
        view.note_lowest(*id, active, || [("active requests", active)]);
        let lot = hash_words(&[view.seed(), request.id.0, u64::from(id.0)]);
        (worker.active(), lot)
    });
    best.expect("a view is never empty")
}
