//! One `[[stage]]` of a workload file: a rate that is kept for a time.

use super::arrivals::Gaps;
use serde::{Deserialize, Deserializer, Serialize};

/// A stage, as a workload file says it. A value out of range is an error at its place in the file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The name in reports. None: the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Requests a second of a set of prompts, otherwise sessions a second.
    #[serde(deserialize_with = "rate")]
    pub rate: f64,
    /// With the rate, how many requests or sessions the stage has.
    #[serde(deserialize_with = "duration")]
    pub duration_s: f64,
    /// The gaps between two of them.
    #[serde(default)]
    pub arrivals: StageArrivals,
    /// Whether the next stage waits for all answers.
    #[serde(default = "yes")]
    pub drain: bool,
    /// Seconds between the end of this stage and the next one.
    #[serde(default, deserialize_with = "pause")]
    pub pause_s: f64,
    /// Whether the stage is in the figures of the run. A warm-up is not.
    #[serde(default = "yes")]
    pub counted: bool,
}

/// The gaps between the arrivals of a stage.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageArrivals {
    /// Exponential gaps.
    #[default]
    Poisson,
    /// Equal gaps.
    Constant,
}

impl StageArrivals {
    /// The distribution of the gaps.
    pub const fn gaps(self) -> Gaps {
        match self {
            Self::Poisson => Gaps::Exponential,
            Self::Constant => Gaps::Equal,
        }
    }
}

impl Stage {
    /// The most requests or sessions of all stages together.
    pub const MOST: u64 = 100_000_000;

    /// What reports call the stage.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{}/s", self.rate))
    }

    /// How many requests or sessions the stage sends: rate times duration, at least one. A multiple
    /// of the rate sends more in the same time.
    pub fn count(&self, rate_scale: f64) -> u64 {
        let all = self.rate * rate_scale * self.duration_s;
        // 0.1 times 30 is a little less than 3.
        (all * (1.0 + 1e-12)).clamp(1.0, Self::MOST as f64) as u64
    }
}

const fn yes() -> bool {
    true
}

fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    number(from, "a rate above 0, at most 1e6", |rate| rate > 0.0 && rate <= 1e6)
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    number(from, "seconds above 0, at most 1e7", |seconds| seconds > 0.0 && seconds <= 1e7)
}

fn pause<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    number(from, "seconds from 0 to 1e7", |seconds| (0.0..=1e7).contains(&seconds))
}

/// Reads a number here and not in a later check, so that the error has the line of this stage.
fn number<'de, D: Deserializer<'de>>(
    from: D,
    expected: &str,
    is_good: fn(f64) -> bool,
) -> Result<f64, D::Error> {
    let number = f64::deserialize(from)?;
    let why = || serde::de::Error::custom(format_args!("{number}, expected {expected}"));
    is_good(number).then_some(number).ok_or_else(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_sends_rate_times_duration() {
        let stage = |rate, duration_s| Stage {
            name: None,
            rate,
            duration_s,
            arrivals: StageArrivals::Poisson,
            drain: true,
            pause_s: 0.0,
            counted: true,
        };
        for (rate, duration_s, scale, expected) in [
            (3.0, 20.0, 1.0, 60),
            (0.1, 30.0, 1.0, 3),
            (2.0, 10.0, 1.5, 30),
            (2.5, 3.0, 1.0, 7),
            (0.01, 5.0, 1.0, 1),
            (1e6, 1e7, 1e6, Stage::MOST),
        ] {
            assert_eq!(stage(rate, duration_s).count(scale), expected, "{rate} for {duration_s}");
        }
        assert_eq!(stage(2.5, 1.0).label(), "2.5/s");
        assert_eq!(stage(15.0, 1.0).label(), "15/s");
    }
}
