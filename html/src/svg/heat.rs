//! Cells whose colour is a number. All cells of one shade are one path, so that thousands of them take little
//! room.

use super::place::Place;
use super::write::{self, Area, px};
use crate::escape::escape;
use crate::plot::Heat;
use warmpath_sheet::amount;

/// Shades beside none.
const SHADES: usize = 6;
/// Rows are this high at most and at least.
const ROW: (f64, f64) = (14.0, 3.0);
/// The cells are about this high together, unless rows would be too low or too high.
const HEIGHT: f64 = 224.0;

pub fn draw(plot: &Heat, label: &str) -> String {
    let rows = plot.rows.len().max(1) as f64;
    let row = (HEIGHT / rows).clamp(ROW.1, ROW.0);
    let top = 26.0;
    let area = Area { left: 52.0, right: write::WIDTH - 14.0, top, bottom: top + row * rows };
    let x = Place::of(&plot.x, [plot.from, plot.to], (area.left, area.right));
    let mut svg = write::open(area.bottom + 48.0, label);
    svg.push_str(&write::text(2.0, 14.0, "t", &format!("{} from top to bottom", plot.of)));
    svg.push_str(&write::x_axis(area, &plot.x, &x));
    let mut shades = vec![String::new(); SHADES];
    for (place, cells) in plot.cells.iter().enumerate() {
        let y = area.top + row * place as f64;
        let width = (plot.to - plot.from) / cells.len().max(1) as f64;
        let edge = |cell: usize| x.at(plot.from + width * cell as f64);
        let shade_of = |cell: f64| shade(cell, plot.most);
        let mut from = 0;
        while from < cells.len() {
            // Neighbours of one shade are one rectangle.
            let shade = shade_of(cells[from]);
            let run = cells[from..].iter().take_while(|&&cell| shade_of(cell) == shade).count();
            if let Some(shade) = shade {
                let (left, right) = (edge(from), edge(from + run));
                shades[shade].push_str(&format!(
                    "M{} {}h{}v{}h-{}z",
                    px(left),
                    px(y),
                    px(right - left),
                    px(row - if row > 5.0 { 1.0 } else { 0.0 }),
                    px(right - left)
                ));
            }
            from += run;
        }
        let every = (12.0 / row).ceil() as usize;
        if place % every == 0 {
            let name = &plot.rows[place];
            svg.push_str(&write::text(area.left - 6.0, y + row.min(14.0) / 2.0 + 4.0, "t e", name));
        }
    }
    for (shade, path) in shades.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        svg.push_str(&format!("<path class=\"x x{shade}\" d=\"{path}\"/>"));
    }
    for (place, (name, cells)) in plot.rows.iter().zip(&plot.cells).enumerate() {
        let mean = cells.iter().sum::<f64>() / cells.len().max(1) as f64;
        let most = cells.iter().copied().fold(0.0, f64::max);
        svg.push_str(&format!(
            "<rect class=\"v\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            px(area.left),
            px(area.top + row * place as f64),
            px(area.right - area.left),
            px(row),
            escape(&format!("{name}: mean {}, most {} {}", amount(mean), amount(most), plot.unit))
        ));
    }
    svg + "</svg>"
}

/// The shade of a cell. None: it is 0.
fn shade(cell: f64, most: f64) -> Option<usize> {
    if cell <= 0.0 || most <= 0.0 || cell.is_nan() {
        return None;
    }
    Some(((cell / most * SHADES as f64).ceil() as usize).clamp(1, SHADES) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_cell_is_the_darkest_and_an_idle_one_has_no_colour() {
        assert_eq!(
            [0.0, 0.1, 50.0, 99.0, 100.0, 200.0].map(|cell| shade(cell, 100.0)),
            [None, Some(0), Some(2), Some(5), Some(5), Some(5)]
        );
        assert_eq!(shade(1.0, 0.0), None);
    }
}
