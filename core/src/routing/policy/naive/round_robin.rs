//! Each worker in turn, whatever it holds: the naive rule that others are measured against.

use super::super::parameter::parameters;
use super::super::rule::Policy;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::view::FleetView;

parameters! {
    /// Each worker in turn, whatever it holds.
    pub struct RoundRobin {}
}

impl Policy for RoundRobin {
    const NAME: &'static str = "round-robin";
    const RULE: &'static str = "Each worker in turn, whatever it holds.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), _request: &Request, view: &FleetView<'_>) -> Choice {
        let turn = view.ordinal() % view.workers().len() as u64;
        let (worker, _) = view.nth(turn as usize).expect("a view is never empty");
        view.note_because("its turn came, by the number of requests sent before");
        Decision::blind(worker).into()
    }
}
