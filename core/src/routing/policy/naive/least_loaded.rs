//! The worker with the fewest requests under way; ties by a hash of request and worker.

use super::super::parameter::parameters;
use super::super::parts::Lots;
use super::super::rule::Policy;
use crate::id::WorkerId;
use crate::request::Request;
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
    let (lots, mut best) = (Lots::of(view, request), None::<(u32, u64, WorkerId)>);
    for (id, queue) in view.queues() {
        let active = queue.active();
        view.note_lowest(id, f64::from(active), || [("active requests", f64::from(active))]);
        // A lot is drawn among equals only.
        if best.is_none_or(|(fewest, lot, _)| {
            active < fewest || active == fewest && lots.of_worker(id) < lot
        }) {
            best = Some((active, lots.of_worker(id), id));
        }
    }
    let (_, _, worker) = best.expect("a view is never empty");
    (worker, view.worker(worker).expect("an eligible worker is in the fleet"))
}
