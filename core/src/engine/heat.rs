//! Thermal throttling: how warm a chip is, if sustained load slows it down ([`Sustained`]).
//!
//! The model checks the warmth only when an iteration starts. An iteration that starts cool runs at
//! full speed to its end. So each time a chip gets hot, the time is off by up to one iteration: a
//! chunk of a prompt, or 128 answer tokens.

use super::physics::Sustained;
use crate::time::Instant;

/// The warmth of a worker's chips.
#[derive(Debug)]
pub(super) struct Heat {
    limits: Option<Sustained>,
    /// Warmth when the last step ended, in seconds of computing.
    warmth_s: f64,
    /// When the last step ended.
    stopped: Instant,
}

impl Heat {
    pub fn new(limits: Option<Sustained>) -> Self {
        Self { limits, warmth_s: 0.0, stopped: Instant::START }
    }

    /// The factor on the time of a step that starts now, at least 1.
    pub fn slower_by(&self, now: Instant) -> f64 {
        match self.limits {
            Some(limits) if self.at(now) >= limits.after_s => 1.0 / limits.factor,
            _ => 1.0,
        }
    }

    /// Records that the chip computed from `start` to `end`.
    pub fn worked(&mut self, start: Instant, end: Instant) {
        if let Some(limits) = self.limits {
            let warmth_s = self.at(start) + end.since(start).as_secs_f64();
            (self.warmth_s, self.stopped) = (warmth_s.min(limits.after_s), end);
        }
    }

    /// The warmth at `now`, in seconds of computing.
    fn at(&self, now: Instant) -> f64 {
        (self.warmth_s - now.since(self.stopped).as_secs_f64()).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn at(s: u64) -> Instant {
        Instant::START + Duration::from_millis(s * 1_000)
    }

    #[test]
    fn sustained_load_slows_down_and_rest_restores_speed() {
        let mut heat = Heat::new(Some(Sustained { after_s: 60.0, factor: 0.5 }));
        assert_eq!(heat.slower_by(at(0)), 1.0);
        heat.worked(at(0), at(59));
        assert_eq!(heat.slower_by(at(59)), 1.0, "a second is left");
        heat.worked(at(59), at(100));
        assert_eq!(heat.slower_by(at(100)), 2.0);
        assert_eq!(heat.slower_by(at(110)), 1.0, "ten seconds of rest are ten of full speed");
        heat.worked(at(110), at(120));
        assert_eq!(heat.slower_by(at(120)), 2.0);
        assert_eq!(heat.slower_by(at(1_000)), 1.0);
    }

    #[test]
    fn a_chip_without_limits_never_slows_down() {
        let mut heat = Heat::new(None);
        heat.worked(at(0), at(1_000_000));
        assert_eq!(heat.slower_by(at(1_000_000)), 1.0);
    }
}
