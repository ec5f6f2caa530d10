//! How a table for people writes a number.

/// How a column's numbers look in text: digits, and the unit that they are shown in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Format {
    style: Style,
    /// The number is multiplied by this before it is shown.
    factor: f64,
    /// The unit that is shown, if it differs from the column's own unit.
    unit: Option<&'static str>,
    /// Written behind the number: "x" in 1.5x.
    suffix: &'static str,
}

/// How many digits a number has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// As many as it needs: 0.5, 12.
    Plain,
    /// This many behind the point.
    Digits(usize),
    /// The same, with a sign: +1.5.
    Signed(usize),
    /// A difference: signed, with a question mark where its interval holds 0.
    Change(usize),
    /// Three or four digits in all: 0.123, 12.3, 2898.
    Seconds,
    /// About three digits that count, however small the number: 0.000123, 0.123, 12.30, 2898.
    Amount,
    /// Three digits and a unit of 1,000s: 144M.
    Si,
    /// Whole, with commas: 12,345.
    Commas,
    /// Money, and other amounts of any size: with commas from 100 on, below as an amount.
    Money,
}

impl Format {
    /// The number as the cell has it.
    pub const PLAIN: Self = Self::of(Style::Plain);

    /// A style, in the column's own unit.
    pub const fn of(style: Style) -> Self {
        Self { style, factor: 1.0, unit: None, suffix: "" }
    }

    /// This many digits behind the point.
    pub const fn digits(digits: usize) -> Self {
        Self::of(Style::Digits(digits))
    }

    /// For shares from 0 to 1, which are shown in percent.
    pub const fn percent(digits: usize) -> Self {
        Self::digits(digits).scaled(100.0, "%")
    }

    /// For seconds, which are shown in milliseconds.
    pub const fn milliseconds(digits: usize) -> Self {
        Self::digits(digits).scaled(1e3, "ms")
    }

    /// For bytes, which are shown in units of 1e9.
    pub const fn gigabytes(digits: usize) -> Self {
        Self::digits(digits).scaled(1e-9, "GB")
    }

    /// Multiplies the shown number by `factor`. The product has the unit `unit`.
    pub const fn scaled(self, factor: f64, unit: &'static str) -> Self {
        Self { factor, unit: Some(unit), ..self }
    }

    /// Writes `suffix` behind the number.
    pub const fn suffix(self, suffix: &'static str) -> Self {
        Self { suffix, ..self }
    }

    /// The unit that is shown, if it differs from the column's own unit.
    pub const fn unit(&self) -> Option<&'static str> {
        self.unit
    }

    /// 12.5, in the unit that is shown.
    pub fn number(&self, value: f64) -> String {
        format!("{}{}", self.bare(value), self.suffix)
    }

    /// 12
    pub fn whole(&self, count: u64) -> String {
        match (self.style, self.factor) {
            (Style::Plain, 1.0) => format!("{count}{}", self.suffix),
            _ => self.number(count as f64),
        }
    }

    /// 12.5 ±0.3
    pub fn interval(&self, mean: f64, half: Option<f64>) -> String {
        let half_text = half.map_or_else(String::new, |half| format!(" ±{}", self.unsigned(half)));
        let open =
            matches!(self.style, Style::Change(_)) && half.is_none_or(|half| mean.abs() <= half);
        let mark = if open { " ?" } else { "" };
        format!("{}{half_text}{}{mark}", self.bare(mean), self.suffix)
    }

    /// 12.5 to 13.0, or one number where both read the same.
    pub fn band(&self, low: f64, high: f64) -> String {
        let [low, high] = [low, high].map(|end| self.number(end));
        if low == high { low } else { format!("{low} to {high}") }
    }

    /// 12.5/13.0
    pub fn pair(&self, first: f64, second: f64) -> String {
        format!("{}/{}{}", self.bare(first), self.bare(second), self.suffix)
    }

    fn bare(&self, value: f64) -> String {
        let value = value * self.factor;
        match self.style {
            Style::Plain => value.to_string(),
            Style::Digits(digits) => format!("{value:.digits$}"),
            Style::Signed(digits) | Style::Change(digits) => format!("{value:+.digits$}"),
            Style::Seconds => seconds(value),
            Style::Amount => amount(value),
            Style::Si => si(value),
            Style::Commas => commas(value),
            Style::Money if value >= 100.0 => commas(value),
            Style::Money => amount(value),
        }
    }

    /// The half of an interval has no sign.
    fn unsigned(&self, value: f64) -> String {
        self.bare(value).trim_start_matches('+').to_owned()
    }
}

fn seconds(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.3}"),
        10.0..1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// About three digits that count; a dash for what is not known.
pub fn amount(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".to_owned(),
        0.0 => "0".to_owned(),
        0.0..0.01 => {
            let digits = (2.0 - value.abs().log10().floor()).min(12.0) as usize;
            format!("{value:.digits$}")
        }
        0.01..1.0 => format!("{value:.3}"),
        1.0..100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

fn commas(value: f64) -> String {
    let digits = format!("{value:.0}");
    let first = usize::from(digits.starts_with('-'));
    let comma = |i: usize| i > first && (digits.len() - i).is_multiple_of(3);
    let letters = digits.char_indices();
    let grouped = letters.flat_map(|(i, digit)| comma(i).then_some(',').into_iter().chain([digit]));
    grouped.collect()
}

fn si(value: f64) -> String {
    let (value, unit) = match value.abs() {
        0.0..1e3 => return format!("{value:.0}"),
        1e3..1e6 => (value / 1e3, "k"),
        1e6..1e9 => (value / 1e6, "M"),
        _ => (value / 1e9, "G"),
    };
    if value.abs() < 100.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_keeps_the_digits_that_count() {
        let shown =
            |style| [0.000_123_4, 0.1234, 12.345, 2_898.4].map(|v| Format::of(style).number(v));
        assert_eq!(shown(Style::Plain), ["0.0001234", "0.1234", "12.345", "2898.4"]);
        assert_eq!(shown(Style::Digits(1)), ["0.0", "0.1", "12.3", "2898.4"]);
        assert_eq!(shown(Style::Signed(1)), ["+0.0", "+0.1", "+12.3", "+2898.4"]);
        assert_eq!(shown(Style::Seconds), ["0.000", "0.123", "12.3", "2898"]);
        assert_eq!(shown(Style::Amount), ["0.000123", "0.123", "12.35", "2898"]);
        assert_eq!(shown(Style::Si), ["0", "0", "12", "2.9k"]);
        assert_eq!(shown(Style::Commas), ["0", "0", "12", "2,898"]);
        assert_eq!(shown(Style::Money), ["0.000123", "0.123", "12.35", "2,898"]);
        assert_eq!([-1_234_567.0, -123.0].map(commas), ["-1,234,567", "-123"]);
        assert_eq!([1.448e8, 2e9, 999.0].map(si), ["145M", "2.0G", "999"]);
        assert_eq!([0.0, f64::NAN, -0.5].map(amount), ["0", "-", "-0.500"]);
    }

    #[test]
    fn a_number_is_shown_in_the_unit_of_the_format() {
        assert_eq!(Format::percent(1).number(0.3819), "38.2");
        assert_eq!(Format::percent(1).unit(), Some("%"));
        assert_eq!(Format::milliseconds(1).number(0.0125), "12.5");
        assert_eq!(Format::gigabytes(1).whole(3_400_000_000), "3.4");
        assert_eq!(Format::PLAIN.suffix("x").number(1.5), "1.5x");
        assert_eq!(Format::PLAIN.whole(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn two_numbers_are_one_cell() {
        assert_eq!(Format::percent(1).interval(0.5, Some(0.02)), "50.0 ±2.0");
        assert_eq!(Format::digits(3).suffix("x").interval(1.5, Some(0.02)), "1.500 ±0.020x");
        assert_eq!(Format::digits(1).interval(1.5, None), "1.5");
        let change = Format::of(Style::Change(1));
        assert_eq!(change.interval(1.5, Some(0.2)), "+1.5 ±0.2");
        assert_eq!(change.interval(-0.1, Some(0.2)), "-0.1 ±0.2 ?");
        assert_eq!(change.interval(1.5, None), "+1.5 ?", "one sample proves nothing");
        assert_eq!(Format::digits(0).band(1.0, 2.0), "1 to 2");
        assert_eq!(Format::digits(0).band(1.1, 1.2), "1");
        assert_eq!(Format::digits(0).pair(12.0, 40.0), "12/40");
    }
}
