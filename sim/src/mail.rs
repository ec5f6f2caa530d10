//! Letters under way. They arrive in the order of their times, and at one instant in the order in
//! which they were posted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use warmpath_core::time::Instant;

/// The order is kept among places and not among letters, which lie still.
#[derive(Debug)]
pub struct Mail<L> {
    order: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    letters: Vec<Option<L>>,
    free: Vec<u32>,
    posted: u64,
}

impl<L> Default for Mail<L> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), letters: Vec::new(), free: Vec::new(), posted: 0 }
    }
}

impl<L> Mail<L> {
    pub fn post(&mut self, at: Instant, letter: L) {
        self.posted += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.letters.push(None);
            self.letters.len() as u32 - 1
        });
        self.letters[place as usize] = Some(letter);
        self.order.push(Reverse((at, self.posted, place)));
    }

    /// When the next one arrives.
    pub fn next(&self) -> Option<Instant> {
        self.order.peek().map(|&Reverse((at, ..))| at)
    }

    /// The next one, if it has arrived by `now`.
    pub fn take(&mut self, now: Instant) -> Option<L> {
        self.next().filter(|&at| at <= now)?;
        let Reverse((_, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.letters[place as usize].take()
    }
}
