//! Means over seeds, and their confidence intervals.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean with its 95 % interval: mean ± half width. One value has no interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Estimate {
    pub mean: f64,
    pub half_width_95: Option<f64>,
    /// Values that were averaged.
    pub n: usize,
    /// The values are parts of one run, and not seeds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub over_parts: bool,
    /// Each of at least 16 parts is on the same side.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_every_part: bool,
    /// The standard deviation of the mean. 0: not known.
    #[serde(skip)]
    error: f64,
}

/// How likely a difference is said to be one though there is none, to both sides. Less than the 5 % of the printed
/// intervals: of 100 comparisons of a rule with itself, at least 95 must say that the two are tied, and with 5 % every other
/// hundred would not.
const WRONG: f64 = 0.01;

/// More would take too long to be of use.
const MOST_SEEDS: u32 = 10_000;

impl Estimate {
    /// By Student's t. The values must be independent draws, for example one per seed.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let (half_width_95, error) = (None, 0.0);
        let estimate =
            Self { mean, half_width_95, n, over_parts: false, in_every_part: false, error };
        if n < 2 {
            return estimate;
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (n - 1) as f64).sqrt();
        Self { error: deviation / (n as f64).sqrt(), ..estimate }.among(1)
    }

    /// A mean over `n` parts of one run, with its standard deviation.
    pub fn of_parts(mean: f64, error: f64, n: usize) -> Self {
        let over_parts = true;
        Self { mean, half_width_95: None, n, over_parts, in_every_part: false, error }.among(1)
    }

    /// The same around another mean.
    pub const fn around(self, mean: f64) -> Self {
        Self { mean, ..self }
    }

    /// The same with the interval that holds if `rivals` of them are looked at (Bonferroni): with 95 % none of the
    /// intervals misses its true value.
    #[must_use]
    pub fn among(self, rivals: usize) -> Self {
        let half = (self.n > 1)
            .then(|| self.error * t_quantile(self.n - 1, 1.0 - 0.025 / rivals.max(1) as f64));
        Self { half_width_95: half, ..self }
    }

    /// The least difference from 0 that is told from none, if `rivals` are looked at. None: there is one value.
    pub fn margin(&self, rivals: usize) -> Option<f64> {
        (self.n > 1).then(|| self.error * t_quantile(self.n - 1, told_apart(rivals)))
    }

    /// How many seeds tell a true difference of this size from none in 19 of 20 comparisons, if `rivals` are looked
    /// at. None: it is not known, or more than 10,000.
    pub fn seeds_for(&self, difference: f64, rivals: usize) -> Option<u32> {
        // What one seed has: the mean of n seeds has a deviation that is smaller by the root of n.
        let one = match (self.n, self.over_parts) {
            (0 | 1, _) => return None,
            (_, true) => self.error,
            (n, false) => self.error * (n as f64).sqrt(),
        };
        let tells = |seeds: u32| {
            let freedom = seeds as usize - 1;
            let quantiles = t_quantile(freedom, told_apart(rivals)) + t_quantile(freedom, 0.95);
            quantiles * one <= difference * f64::from(seeds).sqrt()
        };
        if !tells(MOST_SEEDS) {
            return None;
        }
        // More seeds always tell more.
        let (mut low, mut high) = (1, MOST_SEEDS);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if tells(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }
}

#[cfg(test)]
impl Estimate {
    pub fn given(mean: f64, half: f64, n: usize) -> Self {
        let half_width_95 = Some(half);
        let (over_parts, in_every_part) = (false, false);
        Self { mean, half_width_95, n, over_parts, in_every_part, error: half / 2.0 }
    }
}

/// The probability whose quantile a difference must pass (Bonferroni).
fn told_apart(rivals: usize) -> f64 {
    1.0 - WRONG / 2.0 / rivals.max(1) as f64
}

/// The quantile of Student's t at a probability above one half.
fn t_quantile(freedom: usize, probability: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, freedom as f64) {
        Ok(student) => student.inverse_cdf(probability),
        Err(_) => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1, 2, 3, 4: mean 2.5, standard deviation sqrt(5 / 3), t for 3 degrees of freedom 3.182.
    #[test]
    fn an_interval_worked_by_hand() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0]);
        let half = 3.182 * (5.0f64 / 3.0).sqrt() / 2.0;
        assert_eq!((estimate.mean, estimate.n), (2.5, 4));
        assert!((estimate.half_width_95.unwrap() - half).abs() < 1e-3);
        assert_eq!(Estimate::of(&[7.0]).half_width_95, None);
    }

    /// Tables of Student's t: 2.776 for 4 degrees of freedom at 97.5 %, 3.495 at 98.75 %.
    #[test]
    fn more_rivals_make_wider_intervals() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let half = |rivals| estimate.among(rivals).half_width_95.unwrap();
        assert!((half(2) / half(1) - 3.495 / 2.776).abs() < 1e-3);
        assert_eq!(half(1), estimate.half_width_95.unwrap());
    }

    /// With a deviation of 5 % a seed, n seeds tell 5 % apart if the root of n is at least the sum of t at 99.5 and 95 %
    /// with n - 1 degrees of freedom: 2.845 + 1.725 = 4.570 for 21, whose root is 4.583, and the values below have a
    /// deviation of 5.025 %. So it is 22.
    #[test]
    fn seeds_that_are_needed_worked_by_hand() {
        let values: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 5.0 } else { -5.0 }).collect();
        let estimate = Estimate::of(&values);
        assert_eq!(estimate.seeds_for(5.0, 1), Some(22));
        assert!(estimate.seeds_for(5.0, 9).unwrap() > 27);
        assert_eq!(estimate.seeds_for(0.001, 1), None);
        assert_eq!(Estimate::of(&[1.0]).seeds_for(5.0, 1), None);
        assert_eq!(Estimate::of(&[2.0, 2.0]).seeds_for(5.0, 1), Some(2));
    }
}
