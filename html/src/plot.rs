//! Plots as data.

/// A plot: what is seen in it, and the data.
#[derive(Clone, PartialEq, Debug)]
pub struct Plot {
    /// What is seen, in one line.
    pub title: String,
    /// How it is read, in a sentence or two.
    pub about: String,
    /// The data.
    pub chart: Chart,
}

/// The kinds of plots.
#[derive(Clone, PartialEq, Debug)]
pub enum Chart {
    /// Points of several series, with lines between them.
    Lines(Lines),
    /// Bars from left to right, a row for each.
    Bars(Bars),
    /// Cells whose colour is a number.
    Heat(Heat),
}

/// Points of several series.
#[derive(Clone, PartialEq, Debug)]
pub struct Lines {
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// What the series are: "policy".
    pub of: String,
    /// The series.
    pub lines: Vec<Line>,
    /// Lines across the plot.
    pub marks: Vec<Mark>,
}

/// A series.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its points, from left to right. A point that is not finite breaks the line.
    pub points: Vec<(f64, f64)>,
    /// How its points are connected.
    pub shape: Shape,
}

/// How the points of a series are connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// By straight lines.
    Straight,
    /// Not at all.
    Dots,
}

/// An axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    /// What it shows, with the unit: "time to first token, s".
    pub label: String,
    /// Where a value stands on it.
    pub scale: Scale,
    /// Where it begins, if neither 0 nor the data say that.
    pub from: Option<f64>,
    /// Where it ends, if that does not follow from the data.
    pub to: Option<f64>,
}

/// Where a value stands on an axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// In proportion, from 0 on.
    Linear,
    /// By its logarithm. Values of 0 and less are not shown.
    Log,
}

/// A line across the plot, at a value that matters.
#[derive(Clone, PartialEq, Debug)]
pub struct Mark {
    /// What the value is.
    pub label: String,
    /// The value.
    pub at: f64,
    /// Whether it is a value of the y axis.
    pub across: bool,
}

/// Bars from left to right.
#[derive(Clone, PartialEq, Debug)]
pub struct Bars {
    /// The values.
    pub axis: Axis,
    /// What the rows are: "request".
    pub of: String,
    /// The kinds of segments.
    pub parts: Vec<String>,
    /// A row for each.
    pub bars: Vec<Bar>,
    /// Lines across the plot.
    pub marks: Vec<Mark>,
}

/// A row of bars.
#[derive(Clone, PartialEq, Debug)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// From left to right.
    pub segments: Vec<Segment>,
}

/// A part of a bar.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Segment {
    /// Its kind: a place in [`Bars::parts`].
    pub part: usize,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
}

/// Cells whose colour is a number: a row for each thing, from left to right over time.
#[derive(Clone, PartialEq, Debug)]
pub struct Heat {
    /// The axis below the cells.
    pub x: Axis,
    /// Where the first cell begins on it.
    pub from: f64,
    /// Where the last cell ends.
    pub to: f64,
    /// What the rows are: "worker".
    pub of: String,
    /// What a cell shows, with the unit.
    pub unit: String,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// The cells of each row, from left to right; each row has as many.
    pub cells: Vec<Vec<f64>>,
    /// The value of the darkest cell. The same in plots that are compared.
    pub most: f64,
}

impl Axis {
    /// An axis whose values stand in proportion.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear, from: None, to: None }
    }

    /// An axis of values over several powers of ten.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log, from: None, to: None }
    }

    /// Sets where it begins.
    pub fn starting_at(self, from: f64) -> Self {
        Self { from: Some(from), ..self }
    }

    /// Sets where it ends.
    pub fn up_to(self, to: f64) -> Self {
        Self { to: Some(to), ..self }
    }

    /// Whether it can show a value.
    pub fn shows(&self, value: f64) -> bool {
        value.is_finite()
            && self.from.is_none_or(|from| value >= from)
            && (self.scale == Scale::Linear || value > 0.0)
    }
}

impl Mark {
    /// A line from left to right, at a value of the y axis.
    pub fn across(label: impl Into<String>, at: f64) -> Self {
        Self { label: label.into(), at, across: true }
    }

    /// A line from top to bottom, at a value of the x axis.
    pub fn upright(label: impl Into<String>, at: f64) -> Self {
        Self { label: label.into(), at, across: false }
    }
}

impl Line {
    /// A series with straight lines between its points.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, shape: Shape::Straight }
    }

    /// The same without lines.
    pub fn dots(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { shape: Shape::Dots, ..Self::new(name, points) }
    }
}

impl Bar {
    /// Segments of these lengths, one behind the other; the first is of the first part.
    pub fn stacked(name: impl Into<String>, lengths: impl IntoIterator<Item = f64>) -> Self {
        let mut from = 0.0;
        let segment = |(part, length): (usize, f64)| {
            let segment = Segment { part, from, to: from + length.max(0.0) };
            from = segment.to;
            segment
        };
        Self { name: name.into(), segments: lengths.into_iter().enumerate().map(segment).collect() }
    }
}

impl Plot {
    /// Whether there is nothing that could be seen.
    pub fn is_empty(&self) -> bool {
        match &self.chart {
            Chart::Lines(lines) => {
                let shown = |&(x, y): &(f64, f64)| lines.x.shows(x) && lines.y.shows(y);
                !lines.lines.iter().flat_map(|line| &line.points).any(shown)
            }
            Chart::Bars(bars) => !bars
                .bars
                .iter()
                .flat_map(|bar| &bar.segments)
                .any(|part| part.to > part.from && part.to.is_finite()),
            Chart::Heat(heat) => !heat.cells.iter().flatten().any(|&cell| cell > 0.0),
        }
    }
}
