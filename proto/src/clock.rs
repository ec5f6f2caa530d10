//! Model time and the wall clock. Each process has its own origin, so no message carries an instant.
//! Only the speedup is common to all processes of a run.
//!
//! All processes read the wall clock with [`now`]. That is tokio's clock, so a test that pauses tokio's time
//! holds every time limit and every decision. A calendar's time is read only to number lives of a process.

use std::time::{Duration, Instant as WallInstant, SystemTime};
use warmpath_core::time::{Duration as ModelDuration, Instant};

/// The wall clock: it never goes back, whatever is done to the machine's date.
pub fn now() -> WallInstant {
    tokio::time::Instant::now().into_std()
}

/// How long ago an instant of [`now`] was.
pub fn since(at: WallInstant) -> Duration {
    now().saturating_duration_since(at)
}

/// A number for one life of a process that starts now. A later life has a higher one, unless the machine's
/// date was set back in between.
pub fn life() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, |since| since.as_nanos() as u64)
}

/// A clock of model time, which runs `speedup` times as fast as the wall clock from `origin` on.
#[derive(Clone, Copy, Debug)]
pub struct ModelClock {
    origin: WallInstant,
    speedup: f64,
}

impl ModelClock {
    /// A clock that starts now. `speedup` is in model seconds a wall second.
    pub fn starting_now(speedup: f64) -> Self {
        Self::new(now(), speedup)
    }

    /// A clock that starts at `origin`. Panics unless `speedup` is finite and above 0.
    pub fn new(origin: WallInstant, speedup: f64) -> Self {
        assert!(speedup.is_finite() && speedup > 0.0, "speedup {speedup}, expected above 0");
        Self { origin, speedup }
    }

    /// Model seconds a wall second.
    pub const fn speedup(&self) -> f64 {
        self.speedup
    }

    /// The model time now.
    pub fn now(&self) -> Instant {
        self.at(now())
    }

    /// The model time at a wall instant; the start for an instant before the origin.
    pub fn at(&self, wall: WallInstant) -> Instant {
        let elapsed = wall.saturating_duration_since(self.origin);
        Instant::from_nanos((elapsed.as_nanos() as f64 * self.speedup) as u64)
    }

    /// The first wall instant, to the nanosecond, at which the model time is `at`.
    pub fn wall(&self, at: Instant) -> WallInstant {
        self.origin + self.wall_span_ns(at.as_nanos())
    }

    /// The wall time that a span of model time takes.
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
    fn a_model_time_to_wall_and_back_is_the_same_or_just_after() {
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
