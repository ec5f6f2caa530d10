//! iteration

use super::sequence::SeqKey;
use crate::time::{Duration, Instant};

/// Steps under way: one with prompts in it, or a stretch of alike decode steps.
#[derive(Debug)]
pub(super) struct Iteration {
    pub start: Instant,
    pub steps: u32,
    pub first_ns: f64,
    /// By how much each step takes longer than the one before.
    pub growth_ns: f64,
    pub chunks: Vec<(SeqKey, u32)>,
}

impl Iteration {
    pub fn end_of(&self, steps: u32) -> Instant {
        let n = f64::from(steps);
        let ns = n * self.first_ns + self.growth_ns * n * (n - 1.0) / 2.0;
        self.start + Duration::from_nanos_f64(ns.max(n))
    }

    pub fn end(&self) -> Instant {
        self.end_of(self.steps)
    }

    /// How many steps end by `now`.
    pub fn done_by(&self, now: Instant) -> u32 {
        let (mut low, mut high) = (0, self.steps);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.end_of(middle) <= now {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// Ends the stretch with the first step that ends at `now` or later.
    pub fn cut(&mut self, now: Instant) {
        let done = self.done_by(now);
        let exact = done > 0 && self.end_of(done) == now;
        let steps = if exact { done } else { done + 1 };
        self.steps = steps.min(self.steps);
    }
}
