//! A plot with its title, its legend and the table behind it.

use crate::behind::behind;
use crate::escape::escape;
use crate::plot::{Chart, Plot, Shape};
use crate::svg;
use crate::table::table;
use warmpath_sheet::amount;

/// A plot. `id` tells it from the others of the page.
pub fn figure(plot: &Plot, id: &str) -> String {
    let (title, about) = (escape(&plot.title), escape(&plot.about));
    let chart = svg::draw(&plot.chart, &format!("{id}-t"));
    let legend = legend(&plot.chart);
    let data = table(&behind(plot), &format!("{id}-d"), &plot.title);
    format!(
        "<figure id=\"{id}\"><figcaption><h3 id=\"{id}-t\">{title}</h3><p>{about}</p></figcaption>\
         {chart}{legend}<details><summary>Data of this plot</summary>{data}</details></figure>\n"
    )
}

fn legend(chart: &Chart) -> String {
    let items: Vec<(String, String)> = match chart {
        Chart::Lines(plot) => {
            let of = |(i, line): (usize, &crate::plot::Line)| {
                (svg::swatch_of_line(i, line.shape == Shape::Straight), line.name.clone())
            };
            plot.lines.iter().enumerate().map(of).collect()
        }
        Chart::Bars(plot) if plot.parts.len() > 1 => {
            let of = |(i, part): (usize, &String)| (svg::swatch_of_part(i), part.clone());
            let segments = || plot.bars.iter().flat_map(|bar| &bar.segments);
            let is_seen = |part: usize| segments().any(|one| one.part == part && one.to > one.from);
            plot.parts.iter().enumerate().filter(|(part, _)| is_seen(*part)).map(of).collect()
        }
        Chart::Bars(_) => Vec::new(),
        Chart::Heat(plot) => {
            let shade = |i: usize| {
                let swatch = format!(
                    "<svg class=\"w\" viewBox=\"0 0 34 16\" aria-hidden=\"true\">\
                     <rect class=\"x x{i}\" x=\"1\" y=\"2\" width=\"32\" height=\"12\"/></svg>"
                );
                let to = plot.most * (i + 1) as f64 / 6.0;
                (swatch, format!("up to {}", amount(to)))
            };
            let mut items: Vec<_> = [1, 3, 5].map(shade).into();
            if let Some((_, last)) = items.last_mut() {
                last.push_str(&format!(" {}", plot.unit));
            }
            items
        }
    };
    if items.is_empty() {
        return String::new();
    }
    let item = |(swatch, name): (String, String)| format!("<li>{swatch}{}</li>", escape(&name));
    let items: String = items.into_iter().map(item).collect();
    format!("<ul class=\"legend\">{items}</ul>")
}
