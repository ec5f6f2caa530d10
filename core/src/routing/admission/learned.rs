//! What a worker's answers tell about its speed: how much longer than predicted a first token takes,
//! and how long a further token takes, by the number of requests beside it.

use crate::time::{Duration, Instant};

/// Two for each power of two of requests.
const STEPS: usize = 26;
/// What was seen longer ago than this no longer counts, so a worker that was slow is tried again.
const FRESH: Duration = Duration::from_millis(5_000);
/// The weight of a new value.
const NEWEST: f64 = 0.125;

/// A mean that forgets.
#[derive(Clone, Copy, Default, Debug)]
struct Mean {
    value: f64,
    seen: Option<Instant>,
}

impl Mean {
    fn add(&mut self, now: Instant, value: f64) {
        self.value = match self.at(now) {
            Some(mean) => mean + NEWEST * (value - mean),
            None => value,
        };
        self.seen = Some(now);
    }

    fn at(&self, now: Instant) -> Option<f64> {
        self.seen.filter(|&seen| now.since(seen) <= FRESH).map(|_| self.value)
    }
}

/// The speed of a worker.
#[derive(Clone, Default, Debug)]
pub struct Speed {
    first: [Mean; STEPS],
    /// A further token while no prompt is computed, and at the load that there was.
    further: [Mean; STEPS],
    loaded: [Mean; STEPS],
}

impl Speed {
    /// A first token came `took` after its request was sent, and `expected` was predicted, with `beside`
    /// requests on the worker.
    pub fn first_token(&mut self, now: Instant, beside: u32, took: Duration, expected: Duration) {
        // Short times are of the network and of steps, not of work that grows with the prompt.
        let least = 0.01;
        let ratio = took.as_secs_f64().max(least) / expected.as_secs_f64().max(least);
        self.first[step(beside)].add(now, ratio.clamp(0.1, 100.0));
    }

    /// An answer took so many seconds for each further token, with `beside` requests on the worker, which
    /// computed prompts in this share of the time.
    pub fn further_token(&mut self, now: Instant, beside: u32, each: f64, share: f64) {
        self.loaded[step(beside)].add(now, each);
        self.further[step(beside)].add(now, each * (1.0 - share.clamp(0.0, 0.95)));
    }

    /// By how many times a first token is later than predicted, with `beside` requests on the worker.
    pub fn lateness(&self, now: Instant, beside: u32) -> f64 {
        let known = known(&self.first, now, beside);
        if beside == 0 { 1.0 } else { known.unwrap_or(1.0) }
    }

    /// The seconds of a further token with `beside` requests on the worker while it computes no prompt.
    /// None: not known.
    pub fn further(&self, now: Instant, beside: u32) -> Option<f64> {
        known(&self.further, now, beside)
    }

    /// The same at the load that there was.
    pub fn loaded(&self, now: Instant, beside: u32) -> Option<f64> {
        known(&self.loaded, now, beside)
    }
}

/// What is known of so many requests, else of fewer: then it is a lower bound.
fn known(means: &[Mean; STEPS], now: Instant, beside: u32) -> Option<f64> {
    means[..=step(beside)].iter().rev().find_map(|mean| mean.at(now))
}

/// 0, 1, 2, 3, 4-5, 6-7, 8-11, ..
fn step(beside: u32) -> usize {
    let step = match beside {
        0..=1 => beside,
        _ => {
            let log = beside.ilog2();
            2 * log + (beside >> (log - 1) & 1)
        }
    };
    (step as usize).min(STEPS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::START + Duration::from_millis(ms)
    }

    #[test]
    fn steps_are_half_powers_of_two() {
        let steps: Vec<_> = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 16].map(step).into();
        assert_eq!(steps, [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8]);
        assert_eq!(step(u32::MAX), STEPS - 1);
    }

    #[test]
    fn what_is_known_of_fewer_requests_is_a_lower_bound_and_old_values_are_forgotten() {
        let mut speed = Speed::default();
        assert_eq!((speed.further(at(0), 9), speed.lateness(at(0), 9)), (None, 1.0));
        speed.further_token(at(0), 4, 0.02, 0.5);
        speed.further_token(at(0), 16, 0.04, 0.0);
        let known = |beside| speed.further(at(10), beside);
        assert_eq!(
            (known(3), known(5), known(15), known(40)),
            (None, Some(0.01), Some(0.01), Some(0.04))
        );
        assert_eq!(speed.further(at(5_001), 16), None);
        speed.first_token(at(0), 2, Duration::from_millis(300), Duration::from_millis(100));
        let lateness = |ms, beside| speed.lateness(at(ms), beside);
        assert!((lateness(0, 2) - 3.0).abs() < 1e-9);
        assert_eq!((lateness(0, 1), lateness(5_001, 2)), (1.0, 1.0));
    }
}
