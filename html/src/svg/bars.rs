//! Rows of bars. The name of a row stands above its bar, so that it may be long on a narrow page.

use super::place::Place;
use super::write::{self, Area, px};
use crate::escape::escape;
use crate::plot::Bars;
use warmpath_sheet::amount;

const ROW: f64 = 36.0;
const TOP: f64 = 8.0;
const BAR: f64 = 14.0;
/// Room for the names of marks.
const MARK: f64 = 15.0;
/// A segment is at least this wide, so that a short one is not lost.
const LEAST: f64 = 1.2;

pub fn draw(plot: &Bars, label: &str) -> String {
    let top = TOP + MARK * plot.marks.len() as f64;
    let bottom = top + ROW * plot.bars.len() as f64 + 4.0;
    let area = Area { left: 8.0, right: write::WIDTH - 16.0, top, bottom };
    let segments = || plot.bars.iter().flat_map(|bar| &bar.segments);
    let ends = segments().flat_map(|part| [part.from, part.to]);
    let ends = ends.chain(plot.marks.iter().map(|mark| mark.at));
    let x = Place::of(&plot.axis, ends, (area.left, area.right));
    let mut svg = write::open(bottom + 44.0, label);
    svg.push_str(&write::x_axis(area, &plot.axis, &x));
    let above = Area { top: TOP, ..area };
    svg.push_str(&write::marks(above, &plot.marks, &x, &x));
    svg.push_str(&write::names(above, &plot.marks, &x, &x));
    for (row, bar) in plot.bars.iter().enumerate() {
        let y = top + ROW * row as f64;
        svg.push_str(&write::text(area.left, y + 13.0, "t n o", &bar.name));
        for part in &bar.segments {
            // A range of one value is a thin line; a part that is nothing is not seen.
            let has_length = part.to > part.from || bar.segments.len() == 1 && part.from > 0.0;
            let is_shown = plot.axis.shows(part.to) && has_length;
            if !is_shown {
                continue;
            }
            let (from, to) = (x.at(part.from), x.at(part.to));
            let name = plot.parts.get(part.part).map_or("", String::as_str);
            let said = match part.from {
                0.0 => amount(part.to),
                from if plot.parts.len() > 1 => {
                    format!("{} ({} to {})", amount(part.to - from), amount(from), amount(part.to))
                }
                from => format!("{} to {}", amount(from), amount(part.to)),
            };
            svg.push_str(&format!(
                "<rect class=\"b\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"url(#p{})\"><title>{}</title></rect>",
                px(from),
                px(y + 18.0),
                px((to - from).max(LEAST)),
                px(BAR),
                part.part % write::PATTERNS,
                escape(&format!("{}, {name}: {said}; {}", bar.name, plot.axis.label))
            ));
        }
    }
    svg + "</svg>"
}
