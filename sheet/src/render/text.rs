//! Sheets and pages as text of a given width.

mod draw;
mod layout;
mod strip;
mod wrap;

use crate::page::{Page, Part};
use crate::sheet::Sheet;
use crate::width::Width;
use layout::Layout;
use strip::{Strip, strips};

/// The page as text: its parts with a blank line between them.
pub fn page(page: &Page, width: impl Into<Width>) -> String {
    let width = width.into();
    let part = |part: &Part| match part {
        Part::Sheet(sheet) => text(sheet, width),
        Part::Prose(lines) => lines.iter().map(|line| paragraph(line, width)).collect(),
    };
    page.parts.iter().map(part).collect::<Vec<_>>().join("\n")
}

/// The sheet as text: title, table, notes, with a blank line between them.
///
/// A table that does not fit in its width gets narrower in this order: less room between columns; long cells of columns
/// that wrap in several lines; then, as [`Sheet::narrow`] says, columns left out or several tables. A line is longer
/// only where the label columns and one column of numbers do not fit.
pub fn text(sheet: &Sheet, width: impl Into<Width>) -> String {
    let width = width.into();
    let mut parts = Vec::new();
    if !sheet.title.is_empty() {
        parts.push(paragraph(&sheet.title, width));
    }
    if !sheet.is_empty() {
        let strips = strips(sheet);
        let layout = layout::layout(&strips, sheet.labels, sheet.narrow, width.table);
        let rows: Vec<usize> = sheet.groups().map(<[_]>::len).collect();
        parts.extend(layout.pieces.iter().map(|piece| draw::table(&strips, &rows, piece)));
        parts.extend(left_out(&strips, &layout, width));
    }
    if !sheet.notes.is_empty() {
        parts.push(sheet.notes.iter().map(|note| paragraph(note, width)).collect());
    }
    parts.join("\n")
}

fn paragraph(line: &str, width: Width) -> String {
    wrap::paragraph(line, width.prose).join("\n") + "\n"
}

fn left_out(strips: &[Strip], layout: &Layout, width: Width) -> Option<String> {
    let names = layout.dropped.iter().map(|&column| strips[column].full_heading.as_str());
    let names: Vec<&str> = names.collect();
    let whole = layout.whole;
    let line = format!(
        "Left out at {} columns: {}. --width {whole} shows all.",
        width.table,
        names.join(", ")
    );
    (!names.is_empty()).then(|| paragraph(&line, width))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
