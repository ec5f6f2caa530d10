//! The main table: one row per run.

use super::layout::trimmed;
use super::numbers::{big, seconds};
use crate::figures::{Mode, RunReport};
use comfy_table::{Cell, CellAlignment, Table, presets};
use warmpath_core::report::Spread;

const HEADER: [[&str; 14]; 2] = [
    [
        "",
        "",
        "hit",
        "prefill tokens",
        "",
        "TTFT s",
        "",
        "",
        "",
        "TPOT",
        "requests",
        "tokens/s",
        "",
        "good",
    ],
    [
        "policy", "mode", "%", "computed", "cached", "mean", "p50", "p90", "p99", "ms", "/s", "in",
        "out", "req/s",
    ],
];
const LAST: [[&str; 2]; 2] = [["max/mean", "router µs"], ["load", "p50/p99"]];

pub fn singles(runs: &[&RunReport]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (left, right) in HEADER.iter().zip(&LAST) {
        table.add_row(left.iter().chain(right));
    }
    for mode in [Mode::Live, Mode::SimSlice, Mode::Sim] {
        let mut rows = runs.iter().filter(|run| run.mode == mode).peekable();
        if rows.peek().is_some() {
            table.add_row([""]);
        }
        rows.for_each(|run| {
            table.add_row(row(run));
        });
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if i >= 2 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    trimmed(&table)
}

fn row(run: &RunReport) -> Vec<Cell> {
    let figures = &run.figures;
    let mode = if run.valid { run.mode.name().into() } else { format!("{} !", run.mode.name()) };
    let overhead = match &run.router_overhead_s {
        Some(spread) => format!("{:.0}/{:.0}", spread.p50 * 1e6, spread.p99 * 1e6),
        None => String::new(),
    };
    let Spread { mean, p50, p90, p99 } = figures.ttft_s;
    [
        run.label(),
        mode,
        format!("{:.1}", figures.hit_rate * 100.0),
        big(figures.prefill_tokens_computed),
        big(figures.prefill_tokens_cached),
        seconds(mean),
        seconds(p50),
        seconds(p90),
        seconds(p99),
        format!("{:.1}", figures.tpot_s.mean * 1e3),
        format!("{:.2}", figures.throughput.requests_per_s),
        big(figures.throughput.input_tokens_per_s as u64),
        big(figures.throughput.output_tokens_per_s as u64),
        format!("{:.2}", figures.goodput_requests_per_s),
        figures.balance_max_over_mean.map_or_else(|| "-".to_owned(), |load| format!("{load:.2}")),
        overhead,
    ]
    .into_iter()
    .map(Cell::new)
    .collect()
}
