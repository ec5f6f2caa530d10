//! Model time and the wall clock. The origin is each process's own, so no instant crosses the wire;
//! only the speedup is common to a run.

use std::time::{Duration, Instant as WallInstant};
use warmpath_core::time::{Duration as ModelDuration, Instant};

/// Model time runs `speedup` times as fast as the wall clock, from `origin` on.
#[derive(Clone, Copy, Debug)]
pub struct ModelClock {
    origin: WallInstant,
    speedup: f64,
}

impl ModelClock {
    /// `speedup` is in model seconds a wall second, finite and above 0.
    pub fn starting_now(speedup: f64) -> Self {
        Self::new(WallInstant::now(), speedup)
    }

    pub fn new(origin: WallInstant, speedup: f64) -> Self {
        assert!(speedup.is_finite() && speedup > 0.0, "a speedup of {speedup}");
        Self { origin, speedup }
    }

    pub const fn speedup(&self) -> f64 {
        self.speedup
    }

    pub fn now(&self) -> Instant {
        self.at(WallInstant::now())
    }

    /// The model instant at a wall instant; the start for everything before the origin.
    pub fn at(&self, wall: WallInstant) -> Instant {
        let elapsed = wall.saturating_duration_since(self.origin);
        Instant::from_nanos((elapsed.as_nanos() as f64 * self.speedup) as u64)
    }

    /// The first wall instant at which [`ModelClock::at`] has reached `at`, to the nanosecond.
    pub fn wall(&self, at: Instant) -> WallInstant {
        self.origin + self.wall_span_ns(at.as_nanos())
    }

    /// How long a span of model time takes on the wall clock.
    pub fn wall_span(&self, span: ModelDuration) -> Duration {
        self.wall_span_ns(span.as_nanos())
    }

    fn wall_span_ns(&self, model_ns: u64) -> Duration {
        Duration::from_nanos((model_ns as f64 / self.speedup).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_instant_or_just_after() {
        for speedup in [0.1, 1.0, 3.0, 20.0, 1_000.0] {
            let clock = ModelClock::starting_now(speedup);
            for ns in [0, 1, 999, 1_000_000, 3_333_333_333, 86_400_000_000_000] {
                let back = clock.at(clock.wall(Instant::from_nanos(ns))).as_nanos();
                assert!(back + 1 >= ns, "{back} before {ns} at {speedup}");
                assert!(back <= ns + speedup.ceil() as u64, "{back} after {ns} at {speedup}");
            }
        }
    }

    #[test]
    fn a_speedup_shortens_waits() {
        let clock = ModelClock::starting_now(20.0);
        let span = ModelDuration::from_millis(250);
        assert_eq!(clock.wall_span(span), Duration::from_micros(12_500));
    }
}
