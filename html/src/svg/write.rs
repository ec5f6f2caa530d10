//! Pieces of SVG.

use super::place::{Place, short};
use crate::escape::escape;
use crate::palette::SERIES;
use crate::plot::{Axis, Mark};

/// The width of every chart, in its own units; a unit is about a pixel on a telephone.
pub const WIDTH: f64 = 440.0;

/// How many shapes markers have, dashes and patterns. No two of the numbers and the number of colours have a
/// common factor, so that many series look different.
const MARKERS: usize = 7;
const DASHES: [&str; 5] = ["", "7 3", "2 3", "9 3 2 3", "4 2"];
/// How many patterns segments are filled with.
pub const PATTERNS: usize = SERIES;

/// A length or a place, to a tenth.
pub fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The area of a chart in which values stand.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

pub fn open(height: f64, label: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{label}\">",
        px(WIDTH),
        px(height)
    )
}

pub fn text(x: f64, y: f64, class: &str, text: &str) -> String {
    format!("<text x=\"{}\" y=\"{}\" class=\"{class}\">{}</text>", px(x), px(y), escape(text))
}

/// Lines at the ticks of the x axis, their values, and what the axis shows.
pub fn x_axis(area: Area, axis: &Axis, place: &Place) -> String {
    let mut svg = String::new();
    for tick in place.ticks() {
        let x = place.at(tick);
        svg.push_str(&rule(x, area.top, x, area.bottom));
        svg.push_str(&text(x, area.bottom + 17.0, "t m", &short(tick)));
    }
    let middle = f64::midpoint(area.left, area.right);
    svg + &text(middle, area.bottom + 36.0, "t m", &axis.label)
}

/// The same of the y axis. What it shows stands above it, so that it can be read without turning the head.
pub fn y_axis(area: Area, axis: &Axis, place: &Place) -> String {
    let mut svg = String::new();
    for tick in place.ticks() {
        let y = place.at(tick);
        svg.push_str(&rule(area.left, y, area.right, y));
        svg.push_str(&text(area.left - 6.0, y + 4.0, "t e", &short(tick)));
    }
    svg + &text(2.0, 14.0, "t", &axis.label)
}

fn rule(x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    line("r", x1, y1, x2, y2)
}

pub fn line(class: &str, x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(px);
    format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>")
}

/// Lines across the chart.
pub fn marks(area: Area, marks: &[Mark], across: &Place, upright: &Place) -> String {
    let mut svg = String::new();
    for mark in marks {
        if mark.across && across.shows(mark.at) {
            let y = across.at(mark.at);
            svg.push_str(&line("k", area.left, y, area.right, y));
        } else if !mark.across && upright.shows(mark.at) {
            let x = upright.at(mark.at);
            svg.push_str(&line("k", x, area.top, x, area.bottom));
        }
    }
    svg
}

/// The names of these lines. Those that would cover each other are moved apart.
pub fn names(area: Area, marks: &[Mark], across: &Place, upright: &Place) -> String {
    const APART: f64 = 15.0;
    let mut svg = String::new();
    let flat = marks.iter().filter(|mark| mark.across && across.shows(mark.at));
    let mut flat: Vec<&Mark> = flat.collect();
    flat.sort_by(|a, b| b.at.total_cmp(&a.at));
    // There is room for one name above the chart.
    let mut lowest = area.top - APART - 4.0;
    for mark in flat {
        let beside = (across.at(mark.at) - 4.0).max(lowest + APART);
        lowest = beside;
        svg.push_str(&text(area.right - 3.0, beside, "t e o", &mark.label));
    }
    let mut row = area.top + 11.0;
    for mark in marks.iter().filter(|mark| !mark.across && upright.shows(mark.at)) {
        let x = upright.at(mark.at);
        // On the side that has more room.
        let (beside, class) = match x > f64::midpoint(area.left, area.right) {
            true => (x - 4.0, "t e o"),
            false => (x + 4.0, "t o"),
        };
        svg.push_str(&text(beside, row, class, &mark.label));
        row += APART;
    }
    svg
}

/// The dashes of a series as an attribute.
pub fn dashes(series: usize) -> String {
    match DASHES[series % DASHES.len()] {
        "" => String::new(),
        dashes => format!(" stroke-dasharray=\"{dashes}\""),
    }
}

/// The colour of a series as a class.
pub const fn colour(series: usize) -> usize {
    series % SERIES
}

/// The marker of a series.
pub fn marker(series: usize, x: f64, y: f64) -> String {
    let at = |points: &[(f64, f64)]| {
        let points: Vec<String> =
            points.iter().map(|(dx, dy)| format!("{},{}", px(x + dx), px(y + dy))).collect();
        points.join(" ")
    };
    let class = format!("class=\"d c{}\"", colour(series));
    let polygon = |points: &[(f64, f64)]| format!("<polygon {class} points=\"{}\"/>", at(points));
    match series % MARKERS {
        0 => format!("<circle {class} cx=\"{}\" cy=\"{}\" r=\"3.6\"/>", px(x), px(y)),
        1 => polygon(&[(-3.4, -3.4), (3.4, -3.4), (3.4, 3.4), (-3.4, 3.4)]),
        2 => polygon(&[(0.0, -4.4), (4.2, 3.2), (-4.2, 3.2)]),
        3 => polygon(&[(0.0, -4.8), (4.8, 0.0), (0.0, 4.8), (-4.8, 0.0)]),
        4 => polygon(&[(0.0, 4.4), (4.2, -3.2), (-4.2, -3.2)]),
        5 => polygon(&[(-4.0, -1.3), (4.0, -1.3), (4.0, 1.3), (-4.0, 1.3)]),
        _ => polygon(&[(-1.3, -4.4), (1.3, -4.4), (1.3, 4.4), (-1.3, 4.4)]),
    }
}

/// How a series looks, for a legend.
pub fn swatch_of_line(series: usize, connected: bool) -> String {
    let path = format!("<path class=\"l c{}\" d=\"M1 8H33\"{}/>", colour(series), dashes(series));
    let path = if connected { path.as_str() } else { "" };
    format!(
        "<svg class=\"w\" viewBox=\"0 0 34 16\" aria-hidden=\"true\">{path}{}</svg>",
        marker(series, 17.0, 8.0)
    )
}

/// How a kind of segments looks.
pub fn swatch_of_part(part: usize) -> String {
    format!(
        "<svg class=\"w\" viewBox=\"0 0 34 16\" aria-hidden=\"true\">\
         <rect class=\"b\" x=\"1\" y=\"2\" width=\"32\" height=\"12\" fill=\"url(#p{})\"/></svg>",
        part % PATTERNS
    )
}

pub fn patterns() -> String {
    const STROKES: [&str; PATTERNS] = [
        "",
        "M-2 2L2-2M0 8L8 0M6 10L10 6",
        "M0 4H8",
        "M-2 6L2 10M0 0L8 8M6-2L10 2",
        "M4 0V8",
        "M2 2H4V4H2Z",
        "M0 4H8M4 0V8",
        "M0 2H8M0 6H8",
    ];
    let mut svg =
        String::from("<svg class=\"defs\" aria-hidden=\"true\" width=\"0\" height=\"0\"><defs>");
    for (place, stroke) in STROKES.iter().enumerate() {
        svg.push_str(&format!(
            "<pattern id=\"p{place}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\">\
             <rect class=\"f c{place}\" width=\"8\" height=\"8\"/><path class=\"h\" d=\"{stroke}\"/></pattern>"
        ));
    }
    svg + "</defs></svg>"
}
