//! What a cell holds.

/// A cell. Numbers are in the unit of their column and have full precision.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Value {
    /// There is a question, and no answer to it: a price that is not known. Text shows a dash.
    #[default]
    Absent,
    /// The question does not arise: a device's price in the row of an API. Text shows nothing.
    Blank,
    /// A name or a remark.
    Text(String),
    /// Text shows yes or no.
    Flag(bool),
    /// A count.
    Whole(u64),
    /// A measure. Always finite if made with `From`.
    Number(f64),
    /// A mean with its confidence interval: mean ± half. One sample has no interval.
    Interval {
        /// The middle of the interval.
        mean: f64,
        /// Half of the interval's length.
        half: Option<f64>,
    },
    /// From the lowest to the highest that a number can be. Text shows a dash where an end is not known.
    Band {
        /// The lowest value.
        low: Option<f64>,
        /// The highest value.
        high: Option<f64>,
    },
    /// Two figures that are read together, such as a median and a percentile.
    Pair(f64, f64),
}

impl Value {
    /// The text, or nothing where it is empty: CSV and JSON then have no value.
    pub fn text_or_blank(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::Blank } else { Self::Text(text) }
    }

    /// The value, or a blank cell. Use it for a column that does not apply to some rows.
    pub fn or_blank<T: Into<Self>>(value: Option<T>) -> Self {
        value.map_or(Self::Blank, Into::into)
    }

    /// A mean with the half of its interval.
    pub const fn interval(mean: f64, half: Option<f64>) -> Self {
        Self::Interval { mean, half }
    }

    /// Both ends of a band. An end that is not finite is not known.
    pub fn band(low: impl Into<Option<f64>>, high: impl Into<Option<f64>>) -> Self {
        let known = |end: Option<f64>| end.filter(|end| end.is_finite());
        Self::Band { low: known(low.into()), high: known(high.into()) }
    }

    /// Whether CSV and JSON have no value here.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Absent | Self::Blank)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Whole(count)
    }
}

impl From<u32> for Value {
    fn from(count: u32) -> Self {
        Self::Whole(count.into())
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Whole(count as u64)
    }
}

/// A number that is not finite is not known.
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        if value.is_finite() { Self::Number(value) } else { Self::Absent }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}
