//! What was measured of each request, as a distribution.

/// The percentiles that are kept.
const PERCENTS: [f64; 28] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0,
    75.0, 80.0, 85.0, 90.0, 93.0, 95.0, 97.0, 98.0, 99.0, 99.5, 99.9, 100.0,
];

/// A distribution of at least one value.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured {
    pub mean: f64,
    pub least: f64,
    /// Percentiles in ascending order with their values, by nearest rank, as all percentiles of a report.
    pub percentiles: Vec<(f64, f64)>,
}

impl Measured {
    /// None: there is no value.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let least = *values.first()?;
        let count = values.len() as f64;
        let rank = |percent: f64| (count * percent / 100.0 - 1e-9).ceil().max(1.0) as usize - 1;
        Some(Self {
            mean: values.iter().sum::<f64>() / count,
            least,
            percentiles: PERCENTS.map(|percent| (percent, values[rank(percent)])).into(),
        })
    }

    /// The value of one of its percentiles.
    pub fn at(&self, percent: f64) -> Option<f64> {
        self.percentiles.iter().find(|(own, _)| *own == percent).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_figures() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        let spread = warmpath_core::report::Spread::of(values.clone()).expect("values");
        let found = Measured::of(values).expect("values");
        let own = [50.0, 90.0, 99.0].map(|percent| found.at(percent));
        assert_eq!(own, [spread.p50, spread.p90, spread.p99].map(Some));
        assert_eq!((found.mean, found.least, found.at(100.0)), (spread.mean, 1.0, Some(200.0)));
        assert_eq!(Measured::of(Vec::new()), None);
    }
}
