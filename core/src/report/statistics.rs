//! Means, percentiles and ratios.

use serde::{Deserialize, Serialize};

/// A distribution in four numbers. The percentile p is the smallest value that at least p per cent
/// of the values do not exceed (nearest rank).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
}

impl Spread {
    /// The distribution of these values, in any order. None: there is no value, so there is nothing
    /// to say about them.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        Some(Self {
            mean: values.iter().sum::<f64>() / values.len() as f64,
            p50: Self::rank(&values, 50),
            p90: Self::rank(&values, 90),
            p99: Self::rank(&values, 99),
        })
    }

    /// The nearest-rank percentile of values in ascending order. Panics if there is none.
    pub(super) fn rank(ascending: &[f64], percent: usize) -> f64 {
        ascending[(ascending.len() * percent).div_ceil(100).max(1) - 1]
    }
}

/// `part / whole`, or 0 if there is no whole.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    share(part, whole).unwrap_or(0.0)
}

/// `part / whole`. None: there is no whole.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let spread = Spread::of((1..=200).map(f64::from).collect()).expect("values");
        assert_eq!((spread.p50, spread.p90, spread.p99), (100.0, 180.0, 198.0));
        assert_eq!(Spread::of(vec![7.0]).expect("a value").p50, 7.0);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
