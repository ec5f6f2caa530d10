//! The layout of tables.

use crate::figures::RunReport;
use comfy_table::{CellAlignment, Table, presets};

pub fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n\n"
}

pub fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_row(header);
    table
}

pub fn align(table: &mut Table, left: usize) {
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if i >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Groups of runs that differ only in their seed, in the order of their first runs.
pub fn over_seeds<'a>(runs: impl IntoIterator<Item = &'a RunReport>) -> Vec<Vec<&'a RunReport>> {
    let key = |run: &RunReport| (run.label(), run.mode, run.rate_scale);
    let mut groups: Vec<Vec<&'a RunReport>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|group| key(group[0]) == key(run)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    groups
}
