//! Means over seeds, and their confidence intervals.

use serde::Serialize;

/// A mean with its 95 % interval: mean ± half width. One value has no interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Estimate {
    pub mean: f64,
    pub half_width_95: Option<f64>,
    pub n: usize,
}

/// Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
const T95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

impl Estimate {
    /// By Student's t. The values must be independent draws, for example one per seed.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let half_width_95 = (n > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let deviation = (squares / (n - 1) as f64).sqrt();
            // Beyond the table the normal quantile differs by less than 4 %.
            let t = T95.get(n - 2).copied().unwrap_or(2.0);
            t * deviation / (n as f64).sqrt()
        });
        Self { mean, half_width_95, n }
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
        assert!((estimate.half_width_95.unwrap() - half).abs() < 1e-12);
        assert_eq!(Estimate::of(&[7.0]).half_width_95, None);
    }
}
