//! How fast the queue moves: the time from one request that leaves it for a worker to the next.

use crate::time::{Duration, Instant};

/// How many requests the mean of earlier times counts for.
const EARLIER: f64 = 8.0;
/// After so many requests the mean is renewed.
const RENEW: u32 = 16;

/// The pace of the queue.
#[derive(Default, Debug)]
pub struct Pace {
    /// The mean time of earlier requests. None: none left the queue yet.
    earlier: Option<Duration>,
    /// Since when requests wait without a break, or since the mean was renewed.
    since: Option<Instant>,
    left: u32,
}

impl Pace {
    /// The first request waits.
    pub fn begin(&mut self, now: Instant) {
        if self.since.is_none() {
            (self.since, self.left) = (Some(now), 0);
        }
    }

    /// Requests left the queue for a worker. `empty`: no further one waits.
    pub fn left(&mut self, now: Instant, requests: u32, empty: bool) {
        self.left += requests;
        let Some(since) = self.since else { return };
        if self.left > 0 && (empty || self.left >= RENEW) {
            self.earlier = Some(self.gap(now, Duration::ZERO));
            (self.since, self.left) = (Some(now.max(since)), 0);
        }
        if empty {
            self.since = None;
        }
    }

    /// The time from one request to the next. `guess`: where nothing is known.
    pub fn gap(&self, now: Instant, guess: Duration) -> Duration {
        let Some(since) = self.since else { return self.earlier.unwrap_or(guess) };
        let elapsed = now.since(since).as_secs_f64();
        let seconds = match (self.earlier, self.left) {
            (None, 0) => return guess,
            (None, left) => elapsed / f64::from(left),
            (Some(earlier), left) => {
                (earlier.as_secs_f64() * EARLIER + elapsed) / (EARLIER + f64::from(left))
            }
        };
        Duration::from_secs_f64(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::START + Duration::from_millis(ms)
    }

    #[test]
    fn a_queue_that_stops_is_seen_before_the_next_request_leaves() {
        let mut pace = Pace::default();
        let guess = Duration::from_millis(7);
        assert_eq!(pace.gap(at(0), guess), guess);
        pace.begin(at(0));
        for n in 1..=16 {
            pace.left(at(n * 100), 1, false);
        }
        assert_eq!(pace.gap(at(1_600), guess), Duration::from_millis(100));
        assert_eq!(pace.gap(at(4_000), guess), Duration::from_millis(400));
        // Times without a request that waits do not count.
        pace.left(at(4_000), 8, true);
        let kept = pace.gap(at(4_000), guess);
        assert_eq!(pace.gap(at(90_000), guess), kept);
    }
}
