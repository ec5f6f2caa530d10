//! The table a person reads.

use crate::results::{Mode, RunReport};
use comfy_table::{Cell, CellAlignment, Table, presets};
use warmpath_core::report::{Slo, Spread};

/// One row a run, grouped by mode, and below it what the figures rest on.
pub fn render(runs: &[RunReport], slo: &Slo) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "policy",
        "mode",
        "requests",
        "errors",
        "hit %",
        "prefill tokens\ncomputed/cached",
        "TTFT s\nmean",
        "\np50",
        "\np90",
        "\np99",
        "TPOT ms\nmean",
        "\np99",
        "req/s",
        "tokens/s\nin/out",
        "goodput\nreq/s",
        "max/mean\nload",
        "router µs\np50/p99",
    ]);
    let mut last = None;
    for mode in [Mode::Live, Mode::SimSlice, Mode::Sim] {
        for run in runs.iter().filter(|run| run.mode == mode) {
            if last.is_some_and(|last| last != mode) {
                table.add_row([""]);
            }
            last = Some(mode);
            table.add_row(row(run));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let goodput = format!(
        "Goodput counts requests with TTFT up to {} s and TPOT up to {} ms.",
        slo.ttft_s,
        slo.tpot_s * 1e3
    );
    format!("{table}\n{goodput}{}\n", footnotes(runs))
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
        run.policy.map_or_else(|| "(the target's)".to_owned(), |policy| policy.to_string()),
        mode,
        figures.requests.to_string(),
        figures.errors.to_string(),
        format!("{:.1}", figures.hit_rate * 100.0),
        format!("{}/{}", big(figures.prefill_tokens_computed), big(figures.prefill_tokens_cached)),
        format!("{mean:.3}"),
        format!("{p50:.3}"),
        format!("{p90:.3}"),
        format!("{p99:.3}"),
        format!("{:.1}", figures.tpot_s.mean * 1e3),
        format!("{:.1}", figures.tpot_s.p99 * 1e3),
        format!("{:.2}", figures.throughput.requests_per_s),
        format!(
            "{}/{}",
            big(figures.throughput.input_tokens_per_s as u64),
            big(figures.throughput.output_tokens_per_s as u64)
        ),
        format!("{:.2}", figures.goodput_requests_per_s),
        format!("{:.2}", figures.balance_max_over_mean),
        overhead,
    ]
    .into_iter()
    .map(Cell::new)
    .collect()
}

/// Three figures and a unit: 144.8M.
fn big(count: u64) -> String {
    let (value, unit) = match count {
        0..1_000 => return count.to_string(),
        1_000..1_000_000 => (count as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (count as f64 / 1e6, "M"),
        _ => (count as f64 / 1e9, "G"),
    };
    if value < 100.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

fn footnotes(runs: &[RunReport]) -> String {
    let mut notes = String::new();
    if let Some(run) = runs.iter().find(|run| run.profile.is_some() && !run.profile_validated) {
        let name = run.profile.as_deref().unwrap_or_default();
        notes += &format!(
            "\nProfile {name}: unvalidated. Its times were not held against measurements; compare \
             rows with each other, not with a real fleet."
        );
    }
    for run in runs.iter().filter(|run| !run.valid) {
        let policy = run.policy.map_or("", |policy| policy.name());
        let why = run.invalid_because.as_deref().unwrap_or("unknown");
        notes += &format!("\n! {policy} {} is not valid: {why}", run.mode.name());
    }
    for run in runs.iter().filter(|run| run.figures.errors > 0) {
        let policy = run.policy.map_or("", |policy| policy.name());
        for (reason, count) in &run.figures.errors_by_reason {
            notes += &format!("\n{policy} {}: {count} requests failed: {reason}", run.mode.name());
        }
    }
    notes
}

/// How much better `best` did than `base`, in one sentence.
pub fn verdict(base: &RunReport, best: &RunReport) -> String {
    let name = |run: &RunReport| run.policy.map_or("", |policy| policy.name());
    let points = (best.figures.hit_rate - base.figures.hit_rate) * 100.0;
    let (old, new) = (base.figures.ttft_s.mean, best.figures.ttft_s.mean);
    let change = if old > 0.0 { (new / old - 1.0) * 100.0 } else { 0.0 };
    format!(
        "{} against {} ({}): hit rate {points:+.1} points, mean TTFT {change:+.0} %.",
        name(best),
        name(base),
        best.mode.name()
    )
}
