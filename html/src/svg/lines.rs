//! Series as lines.

use super::place::Place;
use super::write::{self, Area, px};
use crate::escape::escape;
use crate::plot::{Line, Lines, Mark, Shape};
use warmpath_sheet::amount;

const HEIGHT: f64 = 300.0;
const AREA: Area =
    Area { left: 52.0, right: write::WIDTH - 14.0, top: 34.0, bottom: HEIGHT - 48.0 };
/// The height of a name.
const NAME: f64 = 15.0;
/// A longer series has markers at some of its points only.
const MARKED: usize = 12;

pub fn draw(plot: &Lines, label: &str) -> String {
    let points = || plot.lines.iter().flat_map(|line| &line.points);
    let shown = || points().filter(|point| plot.x.shows(point.0) && plot.y.shows(point.1));
    let marks = |across| plot.marks.iter().filter(move |m| m.across == across).map(|m| m.at);
    let xs = shown().map(|point| point.0).chain(marks(false));
    let ys = shown().map(|point| point.1).chain(marks(true));
    let x = Place::of(&plot.x, xs, (AREA.left, AREA.right));
    let y = Place::of(&plot.y, ys, (AREA.bottom, AREA.top));
    let mut svg = write::open(HEIGHT, label);
    svg.push_str(&write::x_axis(AREA, &plot.x, &x));
    svg.push_str(&write::y_axis(AREA, &plot.y, &y));
    svg.push_str(&write::marks(AREA, &plot.marks, &y, &x));
    for (series, line) in plot.lines.iter().enumerate() {
        svg.push_str(&series_of(plot, series, line, &x, &y));
    }
    // Series mostly begin or end at the top, so the names of upright marks stand at the bottom.
    let upright = plot.marks.iter().filter(|mark| !mark.across).count() as f64;
    let low = Area { top: AREA.bottom - 8.0 - NAME * upright, ..AREA };
    let (flat, upright): (Vec<Mark>, Vec<Mark>) =
        plot.marks.iter().cloned().partition(|mark| mark.across);
    svg.push_str(&write::names(AREA, &flat, &y, &x));
    svg.push_str(&write::names(low, &upright, &y, &x));
    svg + "</svg>"
}

fn series_of(plot: &Lines, series: usize, line: &Line, x: &Place, y: &Place) -> String {
    let stands = |&(at, value): &(f64, f64)| {
        (plot.x.shows(at) && plot.y.shows(value)).then(|| (x.at(at), y.at(value)))
    };
    let mut svg = String::from("<g>");
    if line.shape == Shape::Straight {
        let mut path = String::new();
        let mut pen_is_down = false;
        for point in &line.points {
            match stands(point) {
                Some((x, y)) => {
                    let command = if pen_is_down { 'L' } else { 'M' };
                    path.push_str(&format!("{command}{} {}", px(x), px(y)));
                    pen_is_down = true;
                }
                None => pen_is_down = false,
            }
        }
        let (colour, dashes) = (write::colour(series), write::dashes(series));
        svg.push_str(&format!("<path class=\"l c{colour}\" d=\"{path}\"{dashes}/>"));
    }
    let every = line.points.len().div_ceil(MARKED);
    for (place, point) in line.points.iter().enumerate() {
        let Some((at_x, at_y)) = stands(point) else { continue };
        // Markers of other series stand at other points, so that they do not cover each other.
        if every == 1 || place % every == series % every {
            svg.push_str(&write::marker(series, at_x, at_y));
        }
        svg.push_str(&format!(
            "<circle class=\"v\" cx=\"{}\" cy=\"{}\" r=\"8\"><title>{}</title></circle>",
            px(at_x),
            px(at_y),
            escape(&format!(
                "{}: {} {}; {} {}",
                line.name,
                plot.x.label,
                amount(point.0),
                plot.y.label,
                amount(point.1)
            ))
        ));
    }
    svg + "</g>"
}
