//! A figure over several seeds.

use crate::play::capacity::Bounds;
use serde::Serialize;

/// The mean over the seeds, and the lowest and highest value that it may have. A capacity adds the
/// step of its search to the highest value.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Band {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

impl Band {
    pub const fn exactly(value: f64) -> Self {
        Self { mean: value, low: value, high: value }
    }

    /// A load that was found by a search. The highest load lies within one step above it.
    pub fn found(load: f64, bounds: Bounds) -> Self {
        Self { high: load * (1.0 + bounds.within), ..Self::exactly(load) }
    }

    pub fn times(self, factor: f64) -> Self {
        let Self { mean, low, high } = self;
        Self { mean: mean * factor, low: low * factor, high: high * factor }
    }

    pub fn plus(self, amount: f64) -> Self {
        let Self { mean, low, high } = self;
        Self { mean: mean + amount, low: low + amount, high: high + amount }
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    /// The band of one or more seeds.
    pub fn over(seeds: impl IntoIterator<Item = Self>) -> Self {
        let seeds: Vec<Self> = seeds.into_iter().collect();
        let ends = |pick: fn(f64, f64) -> f64, of: fn(&Self) -> f64| {
            seeds.iter().map(of).reduce(pick).unwrap_or(f64::NAN)
        };
        Self {
            mean: seeds.iter().map(|seed| seed.mean).sum::<f64>() / seeds.len() as f64,
            low: ends(f64::min, |seed| seed.low),
            high: ends(f64::max, |seed| seed.high),
        }
    }

    /// The same for seeds that may have no value. None: at least one has none.
    pub fn over_all(seeds: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        seeds.into_iter().collect::<Option<Vec<_>>>().map(Self::over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::studies::measure::BOUNDS;

    #[test]
    fn a_band_holds_what_each_seed_leaves_open() {
        let found = [8.0, 12.0].map(|load| Band::found(load, BOUNDS));
        assert_eq!(Band::over(found), Band { mean: 10.0, low: 8.0, high: 12.75 });
        assert_eq!(Band::over_all([Some(found[0]), None]), None);
        assert_eq!(Band::over_all([Some(found[0])]), Some(found[0]));
    }
}
