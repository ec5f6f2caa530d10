//! Charts as SVG. A chart is as wide as a telephone, so that its letters can be read there; a wide page puts
//! several side by side.

mod bars;
mod heat;
mod lines;
mod place;
mod write;

use crate::plot::Chart;

pub use write::{swatch_of_line, swatch_of_part};

/// The chart as an `svg` element. `label` is the id of the element that names it.
pub fn draw(chart: &Chart, label: &str) -> String {
    match chart {
        Chart::Lines(plot) => lines::draw(plot, label),
        Chart::Bars(plot) => bars::draw(plot, label),
        Chart::Heat(plot) => heat::draw(plot, label),
    }
}

/// The patterns that segments are filled with, once for the page.
pub fn patterns() -> String {
    write::patterns()
}
