//! A worker at random. The draw is a hash of the request's id, so a replay draws the same.

use super::super::parameter::parameters;
use super::super::rule::Policy;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Choice, Decision};
use crate::routing::view::FleetView;

parameters! {
    /// A worker at random.
    pub struct Random {}
}

impl Policy for Random {
    const NAME: &'static str = "random";
    const RULE: &'static str = "A worker at random.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let draw = hash_words(&[view.seed(), request.id.0]) % view.workers().len() as u64;
        let (worker, _) = view.nth(draw as usize).expect("a view is never empty");
        view.note_because("drawn at random");
        Decision::blind(worker).into()
    }
}
