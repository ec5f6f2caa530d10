//! Runs in the order in which they leave.
//!
//! A run that is released now goes to the end, so most of the order is a queue. A few runs belong
//! in the middle: the rest of a run that was cut. They wait in a heap beside the queue. A run that
//! is removed leaves its old place in the queue, which is skipped later.

use super::Idle;
use crate::runs::NodeId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Last use, end (in reverse, so the deepest is first), node.
type Place = (u64, u32, NodeId);

/// The place of a run that is not in the order. A real run ends after its first block.
const GONE: (u64, u32) = (u64::MAX, u32::MAX);

/// An ordered set of runs.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The place of each run by node index, without the node; or [`GONE`].
    places: Vec<(u64, u32)>,
    runs: usize,
    /// In ascending order.
    queue: VecDeque<Place>,
    heap: BinaryHeap<Reverse<Place>>,
}

impl Order {
    pub fn put(&mut self, run: &Idle) {
        let place = place(run);
        let index = run.id.index();
        if index >= self.places.len() {
            self.places.resize(index + 1, GONE);
        }
        self.places[index] = (place.0, place.1);
        self.runs += 1;
        if self.queue.back().is_none_or(|last| *last <= place) {
            self.queue.push_back(place);
        } else if self.first_queued().is_none_or(|first| place <= first) {
            // The rest of a run that was cut because it was the first.
            self.queue.push_front(place);
        } else {
            self.heap.push(Reverse(place));
        }
    }

    /// Removes a run. Returns whether it was in the order with the same fields.
    pub fn take(&mut self, run: &Idle) -> bool {
        let (used, end, id) = place(run);
        let old = core::mem::replace(&mut self.places[id.index()], GONE);
        self.runs -= 1;
        if self.queue.len() + self.heap.len() > 4 * self.runs + 64 {
            self.compact();
        }
        old == (used, end)
    }

    /// The run that leaves first.
    pub fn first(&mut self) -> Option<NodeId> {
        let queued = self.first_queued();
        while let Some(&Reverse(first)) = self.heap.peek()
            && !is_current(&self.places, first)
        {
            self.heap.pop();
        }
        let heap = self.heap.peek().map(|&Reverse(place)| place);
        queued.into_iter().chain(heap).min().map(|(_, _, id)| id)
    }

    fn first_queued(&mut self) -> Option<Place> {
        while let Some(&first) = self.queue.front()
            && !is_current(&self.places, first)
        {
            self.queue.pop_front();
        }
        self.queue.front().copied()
    }

    /// Removes the places of runs that are gone.
    fn compact(&mut self) {
        let heap = core::mem::take(&mut self.heap).into_iter().map(|Reverse(place)| place);
        self.queue.extend(heap);
        let places = &self.places;
        self.queue.retain(|&place| is_current(places, place));
        let places = self.queue.make_contiguous();
        places.sort_unstable();
        // A run that was added again at its old place is listed twice.
        let mut last = None;
        self.queue.retain(|&place| last.replace(place) != Some(place));
    }
}

const fn place(run: &Idle) -> Place {
    (run.used, !run.end, run.id)
}

fn is_current(places: &[(u64, u32)], (used, end, id): Place) -> bool {
    places[id.index()] == (used, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeSet;

    /// Compares the order with a sorted set. Some runs are put back as they were, others with an
    /// earlier or a new time of use.
    #[test]
    fn the_order_is_that_of_a_sorted_set() {
        let ids = ids(40);
        let mut rng = Rng::named(1, &[3]);
        let (mut order, mut plain) = (Order::default(), BTreeSet::new());
        let mut there: Vec<Option<Idle>> = vec![None; ids.len()];
        for now in 0..20_000u64 {
            let which = rng.below(ids.len() as u64) as usize;
            match there[which].take() {
                Some(run) => {
                    assert!(order.take(&run), "{run:?} was put");
                    assert!(plain.remove(&place(&run)));
                    if rng.below(4) == 0 {
                        order.put(&run);
                        plain.insert(place(&run));
                        there[which] = Some(run);
                    }
                }
                None => {
                    let used = if rng.below(3) == 0 { rng.below(now + 1) } else { now };
                    let end = rng.below(9) as u32 + 1;
                    let run = Idle { id: ids[which], used, end, blocks: 1, reused: false };
                    order.put(&run);
                    plain.insert(place(&run));
                    there[which] = Some(run);
                }
            }
            if rng.below(3) == 0 {
                assert_eq!(order.first(), plain.first().map(|&(_, _, id)| id), "after {now}");
            }
            assert!(order.queue.len() + order.heap.len() <= 4 * plain.len() + 65);
        }
    }

    fn ids(count: u128) -> Vec<NodeId> {
        use crate::block::{BlockHash, BlockRun, Chain};
        let mut tree = crate::runs::RunTree::<()>::default();
        let run = |bits| {
            let chain = Chain::from_wire(1, 0, vec![BlockHash::from_wire(bits)]);
            BlockRun { chain, start: 0, end: 1 }
        };
        (1..=count).map(|bits| tree.insert(None, run(bits), ())).collect()
    }
}
