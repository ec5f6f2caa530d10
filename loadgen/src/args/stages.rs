//! `--stages` and `--duration`: how a run's rate changes with time, and when it ends.

use crate::files::bad;
use std::fmt;
use std::str::FromStr;

/// The most intervals of a run.
const MOST_INTERVALS: f64 = 10_000.0;
/// No run is longer, in seconds.
const LONGEST_S: f64 = 1e7;

/// What `--stages` and `--duration` say.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CourseArgs {
    /// Phases of the run, one after the other: RATE:TIME, RATE..RATE:TIME for a ramp. A rate is a
    /// multiple of the workload's own such as 2x, or a number a second such as 12/s: of sessions, or
    /// of requests for a trace or a set of prompts. Times are model time: 30s, 5m, 1h. Nothing is sent
    /// after the last phase. Example: 1x:60s,1x..2x:30s,2x:60s
    #[arg(long, value_name = "STAGES", value_delimiter = ',', conflicts_with = "duration")]
    pub stages: Vec<StageArg>,
    /// Ends the run after this time, such as 90s, 5m or 1h, in model time; a drawn workload goes on
    /// until then [default: the whole workload]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub duration: Option<f64>,
}

impl CourseArgs {
    pub fn is_given(&self) -> bool {
        !self.stages.is_empty() || self.duration.is_some()
    }

    /// Checks that an `--interval` cuts the run into a number of rows that a report can hold.
    pub fn check_interval(&self, interval: Option<f64>) -> anyhow::Result<()> {
        let stages: f64 = self.stages.iter().map(|stage| stage.seconds).sum();
        let seconds = self.duration.unwrap_or(stages);
        match interval.map(|interval| seconds / interval) {
            Some(rows) if rows > MOST_INTERVALS => {
                let why = format!("{rows:.0} intervals, expected at most {MOST_INTERVALS}");
                Err(bad(format!("--interval: {why}")))
            }
            _ => Ok(()),
        }
    }
}

/// One phase as it is written.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StageArg {
    pub from: Rate,
    pub to: Rate,
    pub seconds: f64,
}

/// A rate of arrivals.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rate {
    /// A multiple of the workload's own.
    Times(f64),
    PerSecond(f64),
}

impl StageArg {
    /// The phase without its time, as reports call it.
    pub fn label(&self) -> String {
        match self.from == self.to {
            true => self.from.to_string(),
            false => format!("{}..{}", self.from, self.to),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}x"),
            Self::PerSecond(rate) => write!(f, "{rate}/s"),
        }
    }
}

impl FromStr for StageArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            "expected RATE:TIME or RATE..RATE:TIME, such as 2x:60s, 12/s:5m or 1x..2x:30s";
        let (rates, time) = text.split_once(':').ok_or(expected)?;
        let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
        let (from, to) = (parse_rate(from)?, parse_rate(to)?);
        Ok(Self { from, to, seconds: parse_time(time)? })
    }
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let number = |text: &str| text.parse().ok().filter(|rate| (0.0..=1e6).contains(rate));
    let times = || text.strip_suffix('x').and_then(number).map(Rate::Times);
    let per_second = || text.strip_suffix("/s").and_then(number).map(Rate::PerSecond);
    let expected = || format!("rate '{text}', expected such as 2x or 12/s, 0 to 1000000");
    times().or_else(per_second).ok_or_else(expected)
}

/// A time with its unit, in seconds.
pub fn parse_time(text: &str) -> Result<f64, String> {
    let expected = || format!("time '{text}', expected such as 500ms, 30s, 5m or 1h");
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let read = |(unit, seconds): (&str, f64)| {
        Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * seconds)
    };
    let seconds = units.into_iter().find_map(read).ok_or_else(expected)?;
    match seconds > 0.0 && seconds <= LONGEST_S {
        true => Ok(seconds),
        false => Err(format!("{}, above 0 and up to {LONGEST_S} s", expected())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_as_they_are_written() {
        let stage: StageArg = "0.5x..2x:1.5m".parse().unwrap();
        let expected = StageArg { from: Rate::Times(0.5), to: Rate::Times(2.0), seconds: 90.0 };
        assert_eq!((stage, stage.label().as_str()), (expected, "0.5x..2x"));
        let stage: StageArg = "12/s:500ms".parse().unwrap();
        assert_eq!((stage.seconds, stage.label().as_str()), (0.5, "12/s"));
        for (bad, why) in [
            ("2x", "expected RATE:TIME"),
            ("2:60s", "rate '2'"),
            ("-1x:60s", "rate '-1x'"),
            ("NaNx:60s", "rate 'NaNx'"),
            ("1x..:60s", "rate ''"),
            ("1x:60", "time '60'"),
            ("1x:0s", "time '0s'"),
            ("1x:9999h", "time '9999h'"),
        ] {
            let error = bad.parse::<StageArg>().unwrap_err();
            assert!(error.starts_with(why), "{bad}: {error}");
        }
    }
}
