//! When each engine next has something to do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use warmpath_core::time::Instant;

/// A time for each engine, or none, in a heap. A time that was changed stays in the heap until it comes to the top:
/// a tree would be edited at each change, and most events change several times.
#[derive(Debug)]
pub struct Wakes {
    of: Vec<Option<Instant>>,
    /// Except at the top, it may have times that were changed since.
    order: BinaryHeap<Reverse<(Instant, u32)>>,
}

/// Above this many entries for each engine, the heap is made anew without outdated times.
const MOST_PER_ENGINE: usize = 8;

impl Wakes {
    pub fn new(engines: usize) -> Self {
        Self { of: vec![None; engines], order: BinaryHeap::new() }
    }

    /// The engine that is due next, and when. If several are due at one instant, the one with the lowest number.
    pub fn first(&self) -> Option<(Instant, u32)> {
        self.order.peek().map(|&Reverse(first)| first)
    }

    pub fn set(&mut self, engine: u32, at: Option<Instant>) {
        let before = core::mem::replace(&mut self.of[engine as usize], at);
        if before == at {
            return;
        }
        if let Some(at) = at {
            if self.order.len() > MOST_PER_ENGINE * self.of.len() {
                let now =
                    (0..).zip(&self.of).filter_map(|(engine, &at)| Some(Reverse((at?, engine))));
                self.order.clear();
                self.order.extend(now);
            } else {
                self.order.push(Reverse((at, engine)));
            }
        }
        while let Some((at, first)) = self.first()
            && self.of[first as usize] != Some(at)
        {
            self.order.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_PER_ENGINE, Wakes};
    use std::collections::BTreeSet;
    use warmpath_core::rng::Rng;
    use warmpath_core::time::Instant;

    #[test]
    fn the_first_is_that_of_a_tree() {
        let mut rng = Rng::named(1, &[]);
        let mut wakes = Wakes::new(20);
        let mut of = [None; 20];
        for round in 0..20_000 {
            let engine = rng.below(20) as u32;
            // Far times come and go in the second half, and none of them comes to the top.
            let far = if round < 10_000 { 30 } else { 1_000_000 };
            let at = (rng.below(4) > 0).then(|| Instant::from_nanos(round + rng.below(far)));
            wakes.set(engine, at);
            of[engine as usize] = at;
            let all = (0..).zip(of).filter_map(|(engine, at)| Some((at?, engine)));
            let tree: BTreeSet<(Instant, u32)> = all.collect();
            assert_eq!(wakes.first(), tree.first().copied(), "round {round}");
            assert!(wakes.order.len() <= MOST_PER_ENGINE * 20 + 1, "round {round}");
        }
    }
}
