//! A column as it is drawn: its heading and all its cells as text.

use crate::column::Align;
use crate::sheet::Sheet;
use crate::width;

/// A column whose cells are text.
#[derive(Clone, Debug)]
pub struct Strip {
    pub group: Option<String>,
    pub heading: String,
    pub full_heading: String,
    /// In the order of the rows.
    pub cells: Vec<String>,
    pub align: Align,
    pub rank: u8,
    pub wraps: bool,
}

impl Strip {
    /// The width that heading and cells need.
    pub fn natural(&self) -> usize {
        let cells = self.cells.iter().map(|cell| width::of(cell));
        cells.max().unwrap_or(0).max(width::of(&self.heading))
    }
}

/// All columns of a sheet.
pub fn strips(sheet: &Sheet) -> Vec<Strip> {
    let strip = |(i, column): (usize, &crate::column::Column)| Strip {
        group: column.group.as_ref().map(ToString::to_string),
        heading: column.heading.to_string(),
        full_heading: column.full_heading(),
        cells: sheet.rows().map(|row| column.shown(&row[i])).collect(),
        align: column.align,
        rank: column.rank,
        wraps: column.wraps,
    };
    sheet.columns().iter().enumerate().map(strip).collect()
}

/// Stretches of `columns` that stand under one heading: where each begins and ends. A column without one is alone.
pub fn spans(strips: &[Strip], columns: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, &column) in columns.iter().enumerate() {
        let group = &strips[column].group;
        match spans.last_mut() {
            Some(last) if group.is_some() && strips[columns[last.start]].group == *group => {
                last.end = i + 1;
            }
            _ => spans.push(i..i + 1),
        }
    }
    spans
}
