//! The table behind a plot, for those who read rather than see.

use crate::plot::{Bars, Chart, Heat, Lines, Plot};
use warmpath_sheet::{Column, Format, Sheet, Style, Value};

/// The data of a plot as a table.
pub fn behind(plot: &Plot) -> Sheet {
    match &plot.chart {
        Chart::Lines(lines) => of_lines(lines),
        Chart::Bars(bars) => of_bars(bars),
        Chart::Heat(heat) => of_heat(heat),
    }
}

fn number(key: String, heading: String, meaning: &str) -> Column {
    Column::number(key, heading, "value", meaning.to_owned()).format(Format::of(Style::Amount))
}

fn name(of: &str) -> Column {
    Column::text("name", of.to_owned(), format!("The {of}."))
}

/// A row for each point that all series have in common: of one x, or of one y. Else a row for each point.
fn of_lines(plot: &Lines) -> Sheet {
    let values = |of: fn(&(f64, f64)) -> f64| {
        let of_line = |i: usize| plot.lines[i].points.iter().map(of).collect::<Vec<f64>>();
        let first = of_line(0);
        (1..plot.lines.len()).all(|i| of_line(i) == first).then_some(first)
    };
    let (x, y) = (&plot.x.label, &plot.y.label);
    let by_name = |of: fn(&(f64, f64)) -> f64, common: &str, shown: &str, keys: Vec<f64>| {
        let mut columns = vec![number("common".into(), common.to_owned(), common)];
        for (i, line) in plot.lines.iter().enumerate() {
            columns.push(number(format!("s{i}"), line.name.clone(), shown).under(shown.to_owned()));
        }
        let mut sheet = Sheet::new("", columns);
        for (row, key) in keys.into_iter().enumerate() {
            let cells = plot.lines.iter().map(|line| Value::from(of(&line.points[row])));
            sheet.push(std::iter::once(Value::from(key)).chain(cells));
        }
        sheet
    };
    let mut sheet = if plot.lines.len() > 1
        && let Some(keys) = values(|point| point.0)
    {
        by_name(|point| point.1, x, y, keys)
    } else if plot.lines.len() > 1
        && let Some(keys) = values(|point| point.1)
    {
        by_name(|point| point.0, y, x, keys)
    } else {
        let columns = vec![
            name(&plot.of),
            number("x".into(), x.clone(), x),
            number("y".into(), y.clone(), y),
        ];
        let mut sheet = Sheet::new("", columns);
        for line in &plot.lines {
            sheet.begin_group();
            for &(x, y) in &line.points {
                sheet.push([line.name.as_str().into(), x.into(), y.into()]);
            }
        }
        sheet
    };
    for mark in &plot.marks {
        sheet.note(format!("Line across the plot: {}.", mark.label));
    }
    sheet
}

fn of_bars(plot: &Bars) -> Sheet {
    let axis = &plot.axis.label;
    // Segments that follow each other are told by their lengths, others by both ends.
    let follow = plot.bars.iter().all(|bar| {
        bar.segments.first().is_none_or(|first| first.from == 0.0)
            && bar.segments.windows(2).all(|two| two[0].to == two[1].from)
    });
    let mut columns = vec![name(&plot.of)];
    for (i, part) in plot.parts.iter().enumerate() {
        let ends: &[&str] = if follow { &[""] } else { &["from", "to"] };
        for end in ends {
            let heading = format!("{part} {end}").trim().to_owned();
            columns.push(number(format!("p{i}{end}"), heading, axis).under(axis.clone()));
        }
    }
    let mut sheet = Sheet::new("", columns);
    for bar in &plot.bars {
        let cells = (0..plot.parts.len()).flat_map(|part| {
            let segment = bar.segments.iter().find(|segment| segment.part == part);
            let values = match (segment, follow) {
                (Some(at), true) => vec![Some(at.to - at.from)],
                (Some(at), false) => vec![Some(at.from), Some(at.to)],
                (None, true) => vec![None],
                (None, false) => vec![None, None],
            };
            values.into_iter().map(Value::or_blank)
        });
        let cells: Vec<Value> = cells.collect();
        sheet.push(std::iter::once(Value::from(bar.name.as_str())).chain(cells));
    }
    for mark in &plot.marks {
        sheet.note(format!("Line across the plot: {}.", mark.label));
    }
    sheet
}

/// Rows over the whole time, and over each quarter of it.
fn of_heat(plot: &Heat) -> Sheet {
    const QUARTERS: usize = 4;
    let mut columns = vec![
        name(&plot.of),
        number("mean".into(), "mean".into(), "The mean over the whole time.")
            .under(plot.unit.clone()),
    ];
    for quarter in 1..=QUARTERS {
        let (key, heading) = (format!("q{quarter}"), format!("quarter {quarter}"));
        let meaning = "The mean over a quarter of the time.";
        columns.push(number(key, heading, meaning).under(plot.unit.clone()));
    }
    let mean = |cells: &[f64]| cells.iter().sum::<f64>() / cells.len().max(1) as f64;
    let mut sheet = Sheet::new("", columns);
    for (row, cells) in plot.rows.iter().zip(&plot.cells) {
        let part = |quarter: usize| {
            let at = |i: usize| cells.len() * i / QUARTERS;
            Value::from(mean(&cells[at(quarter)..at(quarter + 1)]))
        };
        let cells = [Value::from(row.as_str()), mean(cells).into()];
        sheet.push(cells.into_iter().chain((0..QUARTERS).map(part)));
    }
    sheet
}
