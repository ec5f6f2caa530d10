//! Of two different workers by lot, the one with fewer requests under way (Mitzenmacher, "The power
//! of two choices in randomized load balancing", 2001). Ties go to the first lot.

use super::Policy;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::input::Decision;
use crate::routing::view::FleetView;

#[derive(Clone, Copy, Default, Debug)]
pub struct PowerOfTwo;

impl Policy for PowerOfTwo {
    type Memory = ();

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Decision {
        let count = view.workers().len() as u64;
        let lot = |draw, n| hash_words(&[view.seed(), request.id.0, draw]) % n;
        let first = lot(1, count);
        // The second lot is drawn from the others; with one worker there are none.
        let second = match count {
            1 => first,
            _ => (first + 1 + lot(2, count - 1)) % count,
        };
        let worker = |i: u64| view.workers().nth(i as usize).expect("an eligible worker");
        let ((a, first), (b, second)) = (worker(first), worker(second));
        let chosen = if second.active() < first.active() { b } else { a };
        Decision::blind(chosen)
    }
}
