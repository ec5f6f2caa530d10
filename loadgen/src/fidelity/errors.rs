//! The errors of many predictions, summarised.

use serde::Serialize;

/// Relative errors of some rows, in percent: predicted / measured - 1.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Errors {
    pub rows: usize,
    /// Median of the absolute errors.
    pub median_percent: f64,
    pub p95_percent: f64,
    /// Median with its sign.
    pub bias_percent: f64,
    pub worst: String,
    pub worst_percent: f64,
}

/// The name of a row and its error as a share.
pub type Named = (String, f64);

impl Errors {
    /// None: there are no rows.
    pub fn of(errors: &[Named]) -> Option<Self> {
        let worst = errors.iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
        let sizes = sorted(errors.iter().map(|(_, error)| error.abs()));
        let signed = sorted(errors.iter().map(|(_, error)| *error));
        Some(Self {
            rows: errors.len(),
            median_percent: 100.0 * quantile(&sizes, 0.5),
            p95_percent: 100.0 * quantile(&sizes, 0.95),
            bias_percent: 100.0 * quantile(&signed, 0.5),
            worst: worst.0.clone(),
            worst_percent: 100.0 * worst.1,
        })
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Interpolates between the two nearest ranks, as numpy does.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (low, share) = (place.floor() as usize, place.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] * (1.0 - share) + sorted[high] * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_tails_are_of_sizes_and_the_bias_keeps_its_sign() {
        let errors: Vec<Named> =
            [-0.4, -0.1, -0.2, 0.0, 0.3].iter().map(|&e| (format!("{e}"), e)).collect();
        let all = Errors::of(&errors).unwrap();
        assert_eq!((all.rows, all.worst.as_str()), (5, "-0.4"));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(all.median_percent, 20.0) && close(all.bias_percent, -10.0));
        assert!(close(all.p95_percent, 38.0) && close(all.worst_percent, -40.0));
        assert_eq!(Errors::of(&[]), None);
    }
}
