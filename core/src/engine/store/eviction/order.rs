//! Runs in the order in which they leave.
//!
//! What is let go of now goes to the end, so nearly all of the order is a queue; the few that come in
//! the middle (what is left of a run that was cut) wait in a heap beside it. A run that is taken out
//! leaves its place behind, which is passed over when it comes to the front.

use super::Idle;
use crate::runs::NodeId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// When it was used, what it ends at (the far end first), and which run it is.
type Place = (u64, u32, NodeId);

/// No run has this place: none ends before its first block.
const GONE: (u64, u32) = (u64::MAX, u32::MAX);

#[derive(Debug, Default)]
pub(super) struct Order {
    /// Where each run stands, by its id: [`GONE`], or the first two parts of its place.
    stands: Vec<(u64, u32)>,
    runs: usize,
    /// Ascending.
    queue: VecDeque<Place>,
    beside: BinaryHeap<Reverse<Place>>,
}

impl Order {
    pub fn put(&mut self, run: &Idle) {
        let place = place(run);
        let index = run.id.index();
        if index >= self.stands.len() {
            self.stands.resize(index + 1, GONE);
        }
        self.stands[index] = (place.0, place.1);
        self.runs += 1;
        if self.queue.back().is_none_or(|last| *last <= place) {
            self.queue.push_back(place);
        } else if self.first_queued().is_none_or(|first| place <= first) {
            // What is left of a run that was cut because it was the first.
            self.queue.push_front(place);
        } else {
            self.beside.push(Reverse(place));
        }
    }

    /// Whether it was there, under the same facts.
    pub fn take(&mut self, run: &Idle) -> bool {
        let (used, end, id) = place(run);
        let stood = core::mem::replace(&mut self.stands[id.index()], GONE);
        self.runs -= 1;
        if self.queue.len() + self.beside.len() > 4 * self.runs + 64 {
            self.tidy();
        }
        stood == (used, end)
    }

    /// The first to leave.
    pub fn first(&mut self) -> Option<NodeId> {
        let queued = self.first_queued();
        while let Some(&Reverse(first)) = self.beside.peek()
            && !is_there(&self.stands, first)
        {
            self.beside.pop();
        }
        let beside = self.beside.peek().map(|&Reverse(place)| place);
        queued.into_iter().chain(beside).min().map(|(_, _, id)| id)
    }

    fn first_queued(&mut self) -> Option<Place> {
        while let Some(&first) = self.queue.front()
            && !is_there(&self.stands, first)
        {
            self.queue.pop_front();
        }
        self.queue.front().copied()
    }

    /// Throws out the places of runs that are gone.
    fn tidy(&mut self) {
        let beside = core::mem::take(&mut self.beside).into_iter().map(|Reverse(place)| place);
        self.queue.extend(beside);
        let stands = &self.stands;
        self.queue.retain(|&place| is_there(stands, place));
        let places = self.queue.make_contiguous();
        places.sort_unstable();
        // A run that was put back where it stood has two places.
        let mut last = None;
        self.queue.retain(|&place| last.replace(place) != Some(place));
    }
}

const fn place(run: &Idle) -> Place {
    (run.used, !run.end, run.id)
}

fn is_there(stands: &[(u64, u32)], (used, end, id): Place) -> bool {
    stands[id.index()] == (used, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeSet;

    /// Against a sorted set, with runs that come back in the middle and runs that are put again
    /// where they stood.
    #[test]
    fn it_orders_as_a_sorted_set_does() {
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
            assert!(order.queue.len() + order.beside.len() <= 4 * plain.len() + 65);
        }
    }

    fn ids(count: u128) -> Vec<NodeId> {
        use crate::block::{BlockHash, BlockRun, Chain};
        let mut tree = crate::runs::RunTree::<()>::default();
        let run = |bits| {
            let chain = Chain::from_wire(1, 0, vec![BlockHash::from_wire(bits)]);
            BlockRun { chain: chain.into(), start: 0, end: 1 }
        };
        (1..=count).map(|bits| tree.insert(None, run(bits), ())).collect()
    }
}
