//! `--axis`: what a sweep varies, and the values.

use std::fmt;
use std::str::FromStr;

/// The most values of one axis.
const MOST_VALUES: usize = 1_000;

/// One thing that a sweep varies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Axis {
    Workers,
    Load,
    Step,
    Memory,
    BlockSize,
    Routers,
    EventDelay,
    EventLoss,
    SpeedError,
    TierBandwidth,
    NetworkBandwidth,
}

/// What an axis is called, what its values are, and which are allowed.
struct About {
    axis: Axis,
    name: &'static str,
    /// After a value in tables.
    unit: &'static str,
    least: f64,
    most: f64,
    is_whole: bool,
    meaning: &'static str,
}

const ALL: [About; 11] = [
    About {
        axis: Axis::Workers,
        name: "workers",
        unit: "",
        least: 1.0,
        most: 65_535.0,
        is_whole: true,
        meaning: "workers; the arrival rate grows with them",
    },
    About {
        axis: Axis::Load,
        name: "load",
        unit: "x",
        least: 0.001,
        most: 1_000.0,
        is_whole: false,
        meaning: "factor for the arrival rate",
    },
    About {
        axis: Axis::Step,
        name: "step",
        unit: "x",
        least: 0.0,
        most: 1_000.0,
        is_whole: false,
        meaning: "load in the second of four phases; the others have the workload's own",
    },
    About {
        axis: Axis::Memory,
        name: "memory",
        unit: "x",
        least: 0.001,
        most: 1_000.0,
        is_whole: false,
        meaning: "factor for each worker's KV cache in HBM",
    },
    About {
        axis: Axis::BlockSize,
        name: "block-size",
        unit: "",
        least: 1.0,
        most: 65_536.0,
        is_whole: true,
        meaning: "tokens of a KV block",
    },
    About {
        axis: Axis::Routers,
        name: "routers",
        unit: "",
        least: 1.0,
        most: 64.0,
        is_whole: true,
        meaning: "routers before the fleet",
    },
    About {
        axis: Axis::EventDelay,
        name: "event-delay",
        unit: " ms",
        least: 0.0,
        most: 3_600_000.0,
        is_whole: false,
        meaning: "milliseconds by which events of workers are late",
    },
    About {
        axis: Axis::EventLoss,
        name: "event-loss",
        unit: " %",
        least: 0.0,
        most: 100.0,
        is_whole: false,
        meaning: "messages of workers' feeds that are lost, in percent",
    },
    About {
        axis: Axis::SpeedError,
        name: "speed-error",
        unit: " %",
        least: 0.0,
        most: 900.0,
        is_whole: false,
        meaning: "how wrong the router may be about each worker's speed, in percent",
    },
    About {
        axis: Axis::TierBandwidth,
        name: "tier-bandwidth",
        unit: "x",
        least: 0.001,
        most: 1_000.0,
        is_whole: false,
        meaning: "factor for the links to the tiers behind HBM",
    },
    About {
        axis: Axis::NetworkBandwidth,
        name: "network-bandwidth",
        unit: "x",
        least: 0.001,
        most: 1_000.0,
        is_whole: false,
        meaning: "factor for the links to the pool, to peers and between prefill and decode",
    },
];

impl Axis {
    fn about(self) -> &'static About {
        let found = ALL.iter().find(|about| about.axis == self);
        found.expect("each axis is described")
    }

    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// Its label in plots: the name, with the unit.
    pub fn label(self) -> String {
        match self.about().unit.trim() {
            "" => self.name().to_owned(),
            "x" => format!("{}, times", self.name()),
            unit => format!("{}, {unit}", self.name()),
        }
    }

    /// A value as tables show it: "memory 0.5x".
    pub fn at(self, value: f64) -> String {
        format!("{} {value}{}", self.name(), self.about().unit)
    }

    /// The axes for `--help`.
    pub fn list() -> String {
        let width = ALL.iter().map(|about| about.name.len()).max().unwrap_or(0);
        let line = |about: &About| format!("  {:<width$}  {}", about.name, about.meaning);
        ALL.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// One `--axis`.
#[derive(Clone, PartialEq, Debug)]
pub struct AxisArg {
    pub axis: Axis,
    pub values: Vec<f64>,
}

impl fmt::Display for AxisArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(f64::to_string).collect();
        write!(f, "{}={}", self.axis.name(), values.join(","))
    }
}

impl FromStr for AxisArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected NAME=VALUE,VALUE,..., such as workers=8,16,32";
        let (name, values) = text.split_once('=').ok_or(expected)?;
        let names = || ALL.iter().map(|about| about.name).collect::<Vec<_>>().join(", ");
        let about = ALL.iter().find(|about| about.name == name);
        let about = about.ok_or_else(|| format!("axis '{name}', expected one of: {}", names()))?;
        let value = |text: &str| {
            let kind = if about.is_whole { "a whole number" } else { "a number" };
            let (least, most) = (about.least, about.most);
            let expected = || format!("{name} '{text}', expected {kind} from {least} to {most}");
            let value: f64 = text.trim().parse().map_err(|_| expected())?;
            let fits = (least..=most).contains(&value) && (!about.is_whole || value.fract() == 0.0);
            fits.then_some(value).ok_or_else(expected)
        };
        let values = values.split(',').map(value).collect::<Result<Vec<f64>, String>>()?;
        if values.len() > MOST_VALUES {
            return Err(format!("{} values, expected at most {MOST_VALUES}", values.len()));
        }
        for (i, value) in values.iter().enumerate() {
            if values[..i].contains(value) {
                return Err(format!("{name} {value} is given twice, expected different values"));
            }
        }
        Ok(Self { axis: about.axis, values })
    }
}

/// `--part K/N`: which of the cells of a sweep one process plays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartArg {
    /// From 0.
    pub number: u64,
    pub of: u64,
}

impl FromStr for PartArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("'{text}', expected K/N, K from 0 to N - 1, such as 0/8");
        let (number, of) = text.split_once('/').ok_or_else(expected)?;
        let (number, of) = number.parse().ok().zip(of.parse().ok()).ok_or_else(expected)?;
        if number < of { Ok(Self { number, of }) } else { Err(expected()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_read_as_they_are_written() {
        let axis: AxisArg = "memory=0.5,1,2".parse().unwrap();
        assert_eq!(axis, AxisArg { axis: Axis::Memory, values: vec![0.5, 1.0, 2.0] });
        assert_eq!(axis.to_string(), "memory=0.5,1,2");
        assert_eq!(Axis::Memory.at(0.5), "memory 0.5x");
        assert_eq!(Axis::EventDelay.at(20.0), "event-delay 20 ms");
        for (bad, why) in [
            ("workers", "expected NAME=VALUE"),
            ("works=1", "axis 'works', expected one of: workers, load"),
            ("workers=", "workers '', expected a whole number from 1 to 65535"),
            ("workers=8,x", "workers 'x', expected a whole number"),
            ("workers=1.5", "workers '1.5', expected a whole number"),
            ("workers=0", "workers '0', expected a whole number from 1"),
            ("memory=NaN", "memory 'NaN', expected a number from 0.001 to 1000"),
            ("event-loss=101", "event-loss '101', expected a number from 0 to 100"),
            ("load=1,1", "load 1 is given twice"),
        ] {
            let error = bad.parse::<AxisArg>().unwrap_err();
            assert!(error.starts_with(why), "{bad}: {error}");
        }
    }

    #[test]
    fn parts_count_from_zero() {
        assert_eq!("7/8".parse::<PartArg>(), Ok(PartArg { number: 7, of: 8 }));
        for bad in ["8/8", "0/0", "1", "-1/8", "1/x", ""] {
            assert!(bad.parse::<PartArg>().is_err(), "{bad}");
        }
    }
}
