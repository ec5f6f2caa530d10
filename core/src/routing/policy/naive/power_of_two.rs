//! Of two different workers, drawn at random, the one with fewer requests under way (Mitzenmacher,
//! "The power of two choices in randomized load balancing", 2001). Ties go to the first one drawn.

use super::super::parameter::parameters;
use super::super::rule::Policy;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Choice, Decision};
use crate::routing::view::FleetView;

parameters! {
    /// Of two workers at random, the one with fewer requests under way.
    pub struct PowerOfTwo {}
}

impl Policy for PowerOfTwo {
    const NAME: &'static str = "power-of-two";
    const RULE: &'static str = "Of two workers at random, the one with fewer requests under way.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let count = view.workers().len() as u64;
        let draw = |which, n| hash_words(&[view.seed(), request.id.0, which]) % n;
        let first = draw(1, count);
        // The second is drawn from the others; with one worker there are none.
        let second = match count {
            1 => first,
            _ => (first + 1 + draw(2, count - 1)) % count,
        };
        let worker = |i: u64| view.nth(i as usize).expect("an eligible worker");
        let ((a, first), (b, second)) = (worker(first), worker(second));
        for (id, worker) in [(a, first), (b, second)] {
            let active = f64::from(worker.active());
            view.note_lowest(id, active, || [("active requests", active)]);
        }
        view.note_because("the better of two workers drawn at random");
        let chosen = if second.active() < first.active() { b } else { a };
        Decision::blind(chosen).into()
    }
}
