//! Where a value stands in a chart, and which values are written at an axis.

use crate::plot::{Axis, Scale};

/// An axis in a chart.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place {
    scale: Scale,
    low: f64,
    high: f64,
    /// Where `low` and `high` stand.
    ends: (f64, f64),
}

impl Place {
    /// An axis that shows all of `values` between two places.
    pub fn of(axis: &Axis, values: impl IntoIterator<Item = f64>, ends: (f64, f64)) -> Self {
        let shown: Vec<f64> = values.into_iter().filter(|&value| axis.shows(value)).collect();
        let least = shown.iter().copied().fold(f64::INFINITY, f64::min);
        let most = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = match axis.scale {
            _ if shown.is_empty() => (1.0, 10.0),
            // A little room at both ends, at least a third of a power of ten.
            Scale::Log => (least / 1.15, most.max(least * 1.8) * 1.15),
            Scale::Linear => (least.min(0.0), most.max(0.0)),
        };
        let (low, high) = match (axis.scale, axis.to) {
            (_, Some(to)) => (low, to.max(low + f64::MIN_POSITIVE)),
            (Scale::Linear, None) if high > low => (low * 1.05, high * 1.05),
            (Scale::Linear, None) => (0.0, 1.0),
            (Scale::Log, None) => (low, high),
        };
        let low = axis.from.unwrap_or(low);
        Self { scale: axis.scale, low, high: high.max(low + f64::MIN_POSITIVE), ends }
    }

    /// Where a value stands; at an end if it lies beyond it.
    pub fn at(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.ends.0 + share.clamp(0.0, 1.0) * (self.ends.1 - self.ends.0)
    }

    /// Whether a value stands between the ends.
    pub fn shows(&self, value: f64) -> bool {
        value.is_finite() && (self.low..=self.high).contains(&value)
    }

    /// Values that are easily read, from low to high.
    pub fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.linear(5.0),
            Scale::Log => self.powers(),
        }
    }

    fn linear(&self, about: f64) -> Vec<f64> {
        let rough = (self.high - self.low) / about;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|&step| step >= rough).unwrap_or(10.0 * power);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    fn powers(&self) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let decades = (self.high / self.low).log10();
        let each: &[f64] = match decades {
            ..1.6 => &[1.0, 2.0, 5.0],
            ..2.6 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let every = if decades > 7.0 { 2 } else { 1 };
        let all = (first..=last).step_by(every);
        let all = all.flat_map(|power| each.iter().map(move |times| times * 10f64.powi(power)));
        all.filter(|&value| self.shows(value)).collect()
    }
}

/// A number in as few letters as tell it from its neighbours: 0.05, 12, 1.5k, 2M.
pub fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Three digits that count: what follows is an error of the computation.
    let digits =
        if value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).clamp(0, 9) };
    let text = format!("{value:.*}", digits as usize);
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let text = if text == "-0" { "0" } else { text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis, values: &[f64]) -> Vec<String> {
        let place = Place::of(axis, values.iter().copied(), (0.0, 100.0));
        place.ticks().into_iter().map(short).collect()
    }

    #[test]
    fn ticks_are_numbers_that_are_easily_read() {
        let linear = Axis::linear("");
        assert_eq!(ticks(&linear, &[0.0, 43.0]), ["0", "10", "20", "30", "40"]);
        assert_eq!(ticks(&linear, &[0.003]), ["0", "0.001", "0.002", "0.003"]);
        assert_eq!(
            ticks(&linear.clone().up_to(100.0), &[12.0]),
            ["0", "20", "40", "60", "80", "100"]
        );
        assert_eq!(ticks(&linear, &[1.5e7]), ["0", "5M", "10M", "15M"]);
        let log = Axis::log("");
        assert_eq!(ticks(&log, &[0.02, 9.0]), ["0.1", "1", "10"]);
        assert_eq!(ticks(&log, &[0.2, 3.0]), ["0.2", "0.5", "1", "2"]);
        assert_eq!(ticks(&log, &[]), ["1", "2", "5", "10"]);
    }

    #[test]
    fn a_value_stands_between_the_ends() {
        let place = Place::of(&Axis::linear("").up_to(10.0), [5.0], (100.0, 0.0));
        assert_eq!((place.at(0.0), place.at(5.0), place.at(99.0)), (100.0, 50.0, 0.0));
        let log = Place::of(&Axis::log("").up_to(100.0), [1.15, -1.0, 0.0], (0.0, 2.0));
        assert!((log.at(10.0) - 1.0).abs() < 1e-9, "the middle of 1 to 100");
        assert_eq!(log.at(0.0), 0.0, "what a logarithm does not have stands at the lower end");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, -0.0, 0.05, 12.0, 1500.0, 15_000.0, 2e6, 0.30000000000000004].map(short);
        assert_eq!(shown, ["0", "0", "0.05", "12", "1500", "15k", "2M", "0.3"]);
    }
}
