//! A stretch of engine steps whose end is known in advance.

use super::sequence::SeqKey;
use crate::time::{Duration, Instant};

/// Steps under way: one step with prompts in it, or many decode steps of the same shape.
#[derive(Debug)]
pub(super) struct Iteration {
    pub start: Instant,
    pub steps: u32,
    /// Time of the first step, in nanoseconds.
    pub first_ns: f64,
    /// Nanoseconds by which each step is longer than the one before.
    pub growth_ns: f64,
    /// When the host has launched the first of them.
    pub launched: Instant,
    /// Prompt tokens computed for each sequence.
    pub chunks: Vec<(SeqKey, u32)>,
}

impl Iteration {
    /// When the first `steps` steps end: the sum of an arithmetic series.
    pub fn end_of(&self, steps: u32) -> Instant {
        let n = f64::from(steps);
        let ns = n * self.first_ns + self.growth_ns * n * (n - 1.0) / 2.0;
        self.start + Duration::from_nanos_f64(ns.max(n))
    }

    /// When the last step ends.
    pub fn end(&self) -> Instant {
        self.end_of(self.steps)
    }

    /// Number of steps that end by `now`.
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

    /// Ends the iteration with the first step that ends at `now` or later.
    pub fn cut(&mut self, now: Instant) {
        let done = self.done_by(now);
        let exact = done > 0 && self.end_of(done) == now;
        let steps = if exact { done } else { done + 1 };
        self.steps = steps.min(self.steps);
    }

    /// Ends the iteration before the first step that is planned at `now` or later: each but the
    /// first is planned when the step before the last has ended and its output is `taken` in.
    pub fn cut_for(&mut self, now: Instant, taken: Duration) {
        let latest = now.back(taken);
        let done = self.done_by(latest);
        let steps = if self.end_of(done) < latest { done + 2 } else { done + 1 };
        self.steps = steps.max(self.done_by(now) + 1).min(self.steps);
    }
}
