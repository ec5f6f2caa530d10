//! What a column is called, what it means, and how its cells look.

use crate::format::Format;
use crate::value::Value;
use std::borrow::Cow;

/// Text of a column. It is mostly fixed. It is built at run time for a column that stands for a
/// named thing, such as a tier.
type Words = Cow<'static, str>;

/// A column of a sheet.
#[derive(Clone, PartialEq, Debug)]
pub struct Column {
    /// Its name for programs: the header in CSV, the member's name in JSON.
    pub key: Words,
    /// Its name for people, with the unit that is shown.
    pub heading: Words,
    /// A heading over several columns that stand side by side: "TTFT s" over mean and p50.
    pub group: Option<Words>,
    /// The unit of its values in CSV and JSON; empty for names and remarks.
    pub unit: Words,
    /// What it says, in one plain sentence.
    pub meaning: Words,
    /// Where its cells stand.
    pub align: Align,
    /// How text shows its numbers.
    pub format: Format,
    /// Whether its values are one number each or more.
    pub shape: Shape,
    /// How early it is left out of a narrow table: the highest rank goes first, 0 is never left out.
    pub rank: u8,
    /// Whether long cells may be broken into several lines.
    pub wraps: bool,
}

/// Where the cells of a column stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Names and remarks.
    Left,
    /// Numbers.
    Right,
}

/// What the values of a column are made of. CSV has a column for each part, JSON an object with a member for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One value.
    One,
    /// [`Value::Interval`]: KEY and KEY_half_width_95 in CSV.
    Interval,
    /// [`Value::Band`], with the names of its ends: KEY_low and KEY_high in CSV.
    Band([&'static str; 2]),
    /// [`Value::Pair`], with the names of both: KEY_p50 and KEY_p99 in CSV.
    Pair([&'static str; 2]),
}

impl Column {
    /// A column of names or remarks.
    pub fn text(
        key: impl Into<Words>,
        heading: impl Into<Words>,
        meaning: impl Into<Words>,
    ) -> Self {
        Self {
            key: key.into(),
            heading: heading.into(),
            group: None,
            unit: Cow::Borrowed(""),
            meaning: meaning.into(),
            align: Align::Left,
            format: Format::PLAIN,
            shape: Shape::One,
            rank: 0,
            wraps: false,
        }
    }

    /// A column of numbers. `unit` is that of the values: "s", "tokens", "share". A plain ratio has the unit "ratio".
    pub fn number(
        key: impl Into<Words>,
        heading: impl Into<Words>,
        unit: impl Into<Words>,
        meaning: impl Into<Words>,
    ) -> Self {
        Self { unit: unit.into(), align: Align::Right, ..Self::text(key, heading, meaning) }
    }

    /// Puts the column under a heading that it shares with its neighbours.
    pub fn under(self, group: impl Into<Words>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// Sets how text shows its numbers.
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Its values are intervals.
    pub fn interval(self) -> Self {
        Self { shape: Shape::Interval, ..self }
    }

    /// Its values are bands from a low to a high end.
    pub fn band(self) -> Self {
        self.band_of(["low", "high"])
    }

    /// Its values are bands whose ends have these names.
    pub fn band_of(self, names: [&'static str; 2]) -> Self {
        Self { shape: Shape::Band(names), ..self }
    }

    /// Its values are pairs of figures with these names.
    pub fn pair(self, names: [&'static str; 2]) -> Self {
        Self { shape: Shape::Pair(names), ..self }
    }

    /// Lets a narrow table leave it out; the highest rank goes first.
    pub fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// Lets long cells be broken into several lines.
    pub fn wraps(self) -> Self {
        Self { wraps: true, ..self }
    }

    /// Ends its cells at the right edge, as numbers do.
    pub fn right(self) -> Self {
        Self { align: Align::Right, ..self }
    }

    /// Whether its values have a unit.
    pub fn is_quantity(&self) -> bool {
        !self.unit.is_empty()
    }

    /// The unit that text shows.
    pub fn shown_unit(&self) -> &str {
        self.format.unit().unwrap_or(&self.unit)
    }

    /// The whole heading in one line: "TTFT s mean".
    pub fn full_heading(&self) -> String {
        match &self.group {
            Some(group) => format!("{group} {}", self.heading).trim().to_owned(),
            None => self.heading.clone().into_owned(),
        }
    }

    /// Whether a value is of its shape. Any column takes a remark, one number, or nothing.
    pub const fn takes(&self, value: &Value) -> bool {
        match value {
            Value::Interval { .. } => matches!(self.shape, Shape::Interval),
            Value::Band { .. } => matches!(self.shape, Shape::Band(_)),
            Value::Pair(..) => matches!(self.shape, Shape::Pair(_)),
            _ => true,
        }
    }

    /// The keys of its parts, in order.
    pub fn part_keys(&self) -> Vec<String> {
        let key = &self.key;
        match self.shape {
            Shape::One => vec![key.clone().into_owned()],
            Shape::Interval => vec![key.clone().into_owned(), format!("{key}_half_width_95")],
            Shape::Band([first, second]) | Shape::Pair([first, second]) => {
                vec![format!("{key}_{first}"), format!("{key}_{second}")]
            }
        }
    }

    /// The parts of a value, as many as [`Column::part_keys`].
    pub fn parts(&self, value: &Value) -> Vec<Value> {
        let parts = match value {
            Value::Interval { mean, half } => vec![(*mean).into(), (*half).into()],
            Value::Band { low, high } => vec![(*low).into(), (*high).into()],
            Value::Pair(first, second) => vec![(*first).into(), (*second).into()],
            other => vec![other.clone()],
        };
        let missing = if value.is_missing() { value.clone() } else { Value::Blank };
        let count = if self.shape == Shape::One { 1 } else { 2 };
        parts.into_iter().chain(std::iter::repeat(missing)).take(count).collect()
    }

    /// A cell as text shows it.
    pub fn shown(&self, value: &Value) -> String {
        match value {
            Value::Absent => "-".to_owned(),
            Value::Blank => String::new(),
            Value::Text(text) => text.clone(),
            Value::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Value::Whole(count) => self.format.whole(*count),
            Value::Number(value) => self.format.number(*value),
            Value::Interval { mean, half } => self.format.interval(*mean, *half),
            Value::Band { low, high } => match low.zip(*high) {
                Some((low, high)) => self.format.band(low, high),
                None => "-".to_owned(),
            },
            Value::Pair(first, second) => self.format.pair(*first, *second),
        }
    }
}
