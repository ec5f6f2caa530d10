//! Each worker in turn, whatever it holds: the naive rule that others are measured against.

use super::Policy;
use crate::request::Request;
use crate::routing::input::Decision;
use crate::routing::view::FleetView;

#[derive(Clone, Copy, Default, Debug)]
pub struct RoundRobin;

impl Policy for RoundRobin {
    type Memory = ();

    fn choose(&self, (): &(), _request: &Request, view: &FleetView<'_>) -> Decision {
        let mut workers = view.workers();
        let turn = view.ordinal() % workers.len() as u64;
        let (worker, _) = workers.nth(turn as usize).expect("a view is never empty");
        Decision::blind(worker)
    }
}
