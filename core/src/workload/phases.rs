//! Phases of a run: the workload's own arrivals, at a multiple of their rate that changes with time.
//!
//! Only arrivals are drawn together or apart: think times within a session stay as they are.

use crate::time::{Duration, Instant};
use serde::Serialize;
use std::sync::Arc;

/// A part of a run.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Phase {
    /// The multiple of the workload's rate at its start.
    pub from: f64,
    /// The multiple at its end. A ramp has another one than at its start.
    pub to: f64,
    /// How long it lasts.
    pub seconds: f64,
}

impl Phase {
    /// How far the workload's own time gets in it.
    fn own_seconds(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds
    }
}

/// The phases of a run, one after the other. Nothing is sent after the last one.
#[derive(Clone, PartialEq, Debug)]
pub struct Phases(Arc<[Phase]>);

impl Phases {
    /// At least one phase.
    pub fn new(each: Vec<Phase>) -> Self {
        assert!(!each.is_empty(), "a run has at least one phase");
        Self(each.into())
    }

    /// The phases in order.
    pub fn each(&self) -> &[Phase] {
        &self.0
    }

    /// When the last phase ends.
    pub fn end(&self) -> Instant {
        at(self.0.iter().map(|phase| phase.seconds).sum())
    }

    /// When the workload's own time is `own_s`. None: not before the end.
    pub fn when(&self, own_s: f64) -> Option<Instant> {
        let (mut begins_s, mut left) = (0.0, own_s);
        for phase in &*self.0 {
            let all = phase.own_seconds();
            if left < all {
                // The root of `from * t + (to - from) / (2 * seconds) * t^2 = left`, in the form that
                // holds for a rate that does not change, too.
                let slope = (phase.to - phase.from) / phase.seconds;
                let under = phase.from * phase.from + 2.0 * slope * left;
                let t = 2.0 * left / (phase.from + libm::sqrt(under.max(0.0)));
                // At the start of a ramp from 0 this is 0 by 0.
                let t = if t.is_finite() { t.min(phase.seconds) } else { 0.0 };
                return Some(at(begins_s + t));
            }
            left -= all;
            begins_s += phase.seconds;
        }
        None
    }
}

fn at(seconds: f64) -> Instant {
    Instant::START + Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(each: &[(f64, f64, f64)]) -> Phases {
        let phase = |&(from, to, seconds): &(f64, f64, f64)| Phase { from, to, seconds };
        Phases::new(each.iter().map(phase).collect())
    }

    fn when(phases: &Phases, own_s: f64) -> Option<f64> {
        phases.when(own_s).map(|at| (at.as_secs_f64() * 1e6).round() / 1e6)
    }

    #[test]
    fn the_workloads_time_runs_at_the_rate_of_the_phase() {
        let steps = phases(&[(1.0, 1.0, 10.0), (2.0, 2.0, 5.0), (0.0, 0.0, 7.0), (0.5, 0.5, 4.0)]);
        let at = |own_s| when(&steps, own_s);
        assert_eq!([at(0.0), at(9.0), at(14.0)], [Some(0.0), Some(9.0), Some(12.0)]);
        // Twenty of its seconds have passed after two phases; then nothing comes for 7 s.
        assert_eq!([at(20.0), at(21.0), at(22.0)], [Some(22.0), Some(24.0), None]);
        assert_eq!(steps.end().as_secs_f64(), 26.0);
    }

    #[test]
    fn a_ramp_changes_its_rate_evenly() {
        let up = phases(&[(1.0, 3.0, 10.0)]);
        // After 5 s the rate was 1.5 on average, after 10 s 2.
        assert_eq!([when(&up, 7.5), when(&up, 20.0)], [Some(5.0), None]);
        let down = phases(&[(3.0, 1.0, 10.0)]);
        assert_eq!(when(&down, 12.5), Some(5.0));
        let from_nothing = phases(&[(0.0, 2.0, 10.0)]);
        assert_eq!([when(&from_nothing, 0.0), when(&from_nothing, 2.5)], [Some(0.0), Some(5.0)]);
        let to_nothing = phases(&[(2.0, 0.0, 10.0)]);
        assert_eq!(when(&to_nothing, 7.5), Some(5.0));
    }
}
