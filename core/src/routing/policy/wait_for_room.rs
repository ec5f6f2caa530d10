//! The least loaded worker, but only one with room. While all are full the router holds the request:
//! it then waits where it can still go to any worker, not in the queue of one.

use super::naive::least_loaded;
use super::parameter::parameters;
use super::rule::Policy;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::view::FleetView;
use crate::time::Duration;

parameters! {
    /// The least loaded worker that has room; holds the request while none has.
    pub struct WaitForRoom {
        /// A worker with this many requests under way is full.
        max_active: u32 = 8, 1..=1_000_000, "requests";
        /// A held request is looked at again after this time, even if nothing happened.
        recheck_s: f64 = 1.0, 0.001..=3_600.0, "s";
    }
}

impl Policy for WaitForRoom {
    const NAME: &'static str = "wait-for-room";
    const RULE: &'static str =
        "The least loaded worker that has room; requests wait while none has.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let (worker, state) = least_loaded(request, view);
        if state.active() < self.max_active {
            return Decision::blind(worker).into();
        }
        Choice::Hold { until: view.now() + Duration::from_secs_f64(self.recheck_s) }
    }
}
