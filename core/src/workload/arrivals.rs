//! Arrival times of sessions, and of the requests of a trace.
//!
//! An open loop draws the gaps between arrivals; they do not depend on the answers. A closed loop
//! keeps a number of sessions active and starts the next one when one ends.

use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The arrivals of sessions.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Open loop with exponential gaps, as of many independent users.
    Poisson {
        /// Mean rate, in sessions a second.
        sessions_per_s: f64,
    },
    /// Open loop with gamma gaps: bursty with a `cv` above 1, regular below 1.
    Gamma {
        /// Mean rate, in sessions a second.
        sessions_per_s: f64,
        /// Standard deviation of a gap divided by its mean, 0.01 to 10.
        cv: f64,
    },
    /// Open loop with equal gaps.
    Constant {
        /// Rate, in sessions a second.
        sessions_per_s: f64,
    },
    /// Closed loop: the next session starts when one ends.
    Closed {
        /// Active sessions, at least 1.
        sessions: u32,
    },
}

impl Arrivals {
    /// Checks the numbers. The error is one line: field, value, what was expected.
    pub fn check(&self) -> Result<(), String> {
        if let Self::Closed { sessions } = *self {
            return if sessions > 0 {
                Ok(())
            } else {
                Err("sessions: 0, expected at least 1".into())
            };
        }
        let (gaps, rate) = self.open().expect("an open loop");
        if !(rate > 0.0 && rate <= 1e9) {
            return Err(format!("sessions_per_s: {rate}, expected a number above 0, at most 1e9"));
        }
        gaps.check()
    }

    /// The gaps of an open loop and its rate in sessions per second. None for a closed loop.
    pub const fn open(&self) -> Option<(Gaps, f64)> {
        match *self {
            Self::Poisson { sessions_per_s } => Some((Gaps::Exponential, sessions_per_s)),
            Self::Gamma { sessions_per_s, cv } => Some((Gaps::Gamma { cv }, sessions_per_s)),
            Self::Constant { sessions_per_s } => Some((Gaps::Equal, sessions_per_s)),
            Self::Closed { .. } => None,
        }
    }
}

/// The distribution of the gaps between arrivals, without its mean.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Gaps {
    /// All gaps are equal.
    Equal,
    /// Exponential gaps: a Poisson process.
    Exponential,
    /// Gamma gaps.
    Gamma {
        /// Standard deviation divided by mean, 0.01 to 10.
        cv: f64,
    },
}

impl Gaps {
    fn check(self) -> Result<(), String> {
        match self {
            Self::Gamma { cv } if !(0.01..=10.0).contains(&cv) => {
                Err(format!("cv: {cv}, expected 0.01 to 10"))
            }
            _ => Ok(()),
        }
    }

    /// One gap, in the unit of `mean`.
    pub fn draw(self, mean: f64, rng: &mut Rng) -> f64 {
        match self {
            Self::Equal => mean,
            Self::Exponential => rng.exponential(mean),
            Self::Gamma { cv } => {
                let shape = 1.0 / (cv * cv);
                mean / shape * gamma(shape, rng)
            }
        }
    }
}

/// A gamma draw of this shape and scale 1, by Marsaglia and Tsang, "A simple method for generating
/// gamma variables" (2000).
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1.0 {
        // The paper's method below 1: a draw with shape + 1, times a power of a uniform draw.
        let boost = libm::pow(1.0 - rng.unit(), 1.0 / shape);
        return boost * gamma(shape + 1.0, rng);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = rng.normal();
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        let u = 1.0 - rng.unit();
        if libm::log(u) < x * x / 2.0 + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// The arrivals of a timed trace's requests. The text forms are `recorded`, `poisson`, `constant` and
/// `gamma:CV`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum TraceArrivals {
    /// At the recorded times.
    #[default]
    Recorded,
    /// In the recorded order, with drawn gaps of the same mean.
    Drawn(Gaps),
}

impl FromStr for TraceArrivals {
    type Err = String;

    /// Reads the text forms. The error lists them, or has the bad number.
    fn from_str(text: &str) -> Result<Self, String> {
        let gaps = match text.split_once(':') {
            None if text == "recorded" => return Ok(Self::Recorded),
            None if text == "poisson" => Gaps::Exponential,
            None if text == "constant" => Gaps::Equal,
            Some(("gamma", cv)) => {
                let cv = cv.parse().map_err(|_| format!("cv: '{cv}', expected 0.01 to 10"))?;
                Gaps::Gamma { cv }
            }
            _ => return Err("expected recorded, poisson, constant or gamma:CV".into()),
        };
        gaps.check()?;
        Ok(Self::Drawn(gaps))
    }
}

impl fmt::Display for TraceArrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded => f.write_str("recorded"),
            Self::Drawn(Gaps::Equal) => f.write_str("constant"),
            Self::Drawn(Gaps::Exponential) => f.write_str("poisson"),
            Self::Drawn(Gaps::Gamma { cv }) => write!(f, "gamma:{cv}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(gaps: Gaps, mean: f64) -> (f64, f64) {
        let mut rng = Rng::named(3, &[9]);
        let draws: Vec<f64> = (0..200_000).map(|_| gaps.draw(mean, &mut rng)).collect();
        assert!(draws.iter().all(|&gap| gap >= 0.0 && gap.is_finite()));
        let n = draws.len() as f64;
        let average = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|x| (x - average) * (x - average)).sum::<f64>() / n;
        (average, libm::sqrt(variance) / average)
    }

    #[test]
    fn gaps_have_the_given_mean_and_cv() {
        let cases = [
            (Gaps::Equal, 0.0),
            (Gaps::Exponential, 1.0),
            (Gaps::Gamma { cv: 0.25 }, 0.25),
            (Gaps::Gamma { cv: 1.0 }, 1.0),
            (Gaps::Gamma { cv: 1.1 }, 1.1),
            (Gaps::Gamma { cv: 3.0 }, 3.0),
        ];
        for (gaps, expected) in cases {
            let (mean, cv) = moments(gaps, 0.5);
            assert!((mean / 0.5 - 1.0).abs() < 0.03, "{gaps:?}: mean {mean}");
            assert!((cv - expected).abs() < 0.03 * expected.max(0.01), "{gaps:?}: cv {cv}");
        }
    }

    #[test]
    fn gamma_gaps_are_finite_at_the_limits_of_cv() {
        for cv in [0.01, 10.0] {
            moments(Gaps::Gamma { cv }, 1.0);
        }
    }

    #[test]
    fn trace_arrivals_are_printed_as_they_are_read() {
        for text in ["recorded", "poisson", "constant", "gamma:1.1"] {
            assert_eq!(text.parse::<TraceArrivals>().unwrap().to_string(), text);
        }
        for text in ["", "gamma", "gamma:", "gamma:x", "gamma:0", "gamma:NaN", "poisson:2"] {
            assert!(text.parse::<TraceArrivals>().is_err(), "{text}");
        }
    }

    #[test]
    fn invalid_arrivals_are_rejected() {
        let bad = [
            Arrivals::Poisson { sessions_per_s: 0.0 },
            Arrivals::Poisson { sessions_per_s: f64::NAN },
            Arrivals::Constant { sessions_per_s: f64::INFINITY },
            Arrivals::Gamma { sessions_per_s: 1.0, cv: 0.0 },
            Arrivals::Gamma { sessions_per_s: -1.0, cv: 1.0 },
            Arrivals::Closed { sessions: 0 },
        ];
        assert!(bad.iter().all(|arrivals| arrivals.check().is_err()));
        assert_eq!(Arrivals::Gamma { sessions_per_s: 1.0, cv: 2.0 }.check(), Ok(()));
    }
}
