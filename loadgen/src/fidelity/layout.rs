//! How tables of errors are laid out.

use crate::fidelity::errors::Errors;
use comfy_table::{CellAlignment, Table, presets};

pub fn plain(header: &[&str], left: usize, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_row(header);
    for row in rows {
        table.add_row(row);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if i >= left && i + 1 < header.len() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n\n"
}

pub fn pair(errors: Option<&Errors>) -> String {
    errors.map_or_else(String::new, |one| {
        format!("{:.1} / {:.1}", one.median_percent, one.p95_percent)
    })
}

pub fn worst(errors: &Errors) -> String {
    format!("{:+.0} % {}", errors.worst_percent, errors.worst)
}
