//! The table a person reads.

use crate::results::{Capacity, Comparison, Found, Mode, Results, RunReport, label};
use crate::stats::Estimate;
use comfy_table::{Cell, CellAlignment, Table, presets};
use warmpath_core::engine::physics::Standing;
use warmpath_core::report::{Slo, Spread};
use warmpath_core::routing::policy::PolicyConfig;

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

/// All that a person reads: single runs in a row each or a grid in a row a policy and rate, then
/// capacities, then what the figures rest on. Fits 120 columns.
pub fn render(title: &str, results: &Results, slo: &Slo, baseline: Option<PolicyConfig>) -> String {
    let runs = &results.runs;
    let is_grid = !results.comparisons.is_empty();
    let single = |run: &&RunReport| !is_grid || run.mode != Mode::Sim;
    let mut text = format!("{title}\n\n");
    let rows: Vec<&RunReport> = runs.iter().filter(single).collect();
    if !rows.is_empty() {
        text += &singles(&rows);
    }
    if is_grid {
        text += &grid(&results.comparisons);
    }
    text += &crate::groups::render(runs);
    text += &crate::tiers::render(runs);
    text += &crate::devices::render(runs);
    text += &crate::classes::render(runs);
    text += &crate::economics::render(runs);
    if results.by_owner {
        text += &crate::owners::render(runs);
    }
    if !results.capacities.is_empty() {
        text += &capacities(&results.capacities);
    }
    text += &format!(
        "Within the SLO (good): TTFT up to {} s and TPOT up to {} ms.",
        slo.ttft_s,
        slo.tpot_s * 1e3
    );
    text += &footnotes(runs);
    for note in &results.notes {
        text += &format!("\n{note}");
    }
    text += "\n";
    if !is_grid {
        text += &verdicts(runs, baseline);
    }
    text
}

fn singles(runs: &[&RunReport]) -> String {
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

fn grid(comparisons: &[Comparison]) -> String {
    let baseline = comparisons.first().map_or("", |first| first.baseline.name());
    let mut table = plain(&[
        "policy",
        "rate",
        "hit %",
        "TTFT s mean",
        "TTFT s p99",
        "TPOT ms",
        "in SLO %",
        "max/mean",
        "hit points",
        "mean TTFT",
    ]);
    let mut last = None;
    for row in comparisons {
        if last.replace(row.rate_scale).is_some_and(|last| last != row.rate_scale) {
            table.add_row([""]);
        }
        let against = |estimate: &Option<Estimate>, unit: &str| match estimate {
            Some(estimate) => {
                let clear = if estimate.is_clear() { "" } else { " ?" };
                format!("{:+.1}{}{unit}{clear}", estimate.mean, half(estimate, 1.0, 1))
            }
            None => String::new(),
        };
        table.add_row([
            label(Some(row.policy), row.variant.as_deref()),
            format!("{}x", row.rate_scale),
            interval(&row.hit_percent, 1.0, 1),
            interval(&row.ttft_mean_s, 1.0, 3),
            interval(&row.ttft_p99_s, 1.0, 2),
            interval(&row.tpot_mean_s, 1e3, 1),
            interval(&row.within_slo_percent, 1.0, 1),
            balance(&row.balance_max_over_mean),
            against(&row.hit_points, ""),
            against(&row.ttft_change_percent, " %"),
        ]);
    }
    align(&mut table, 1);
    let seeds = comparisons.first().map_or(0, |first| first.hit_percent.n);
    let how = if seeds > 1 {
        format!(
            "Means over {seeds} seeds with 95 % intervals (Student's t); the last two columns are \
             differences to {baseline}, seed by seed. \"?\": the interval holds 0."
        )
    } else {
        format!("One seed, so no intervals; the last two columns are differences to {baseline}.")
    };
    format!("{}{how}\n", trimmed(&table))
}

/// No load is below the mean of all; 0 stands for fleets whose workers do different things.
fn balance(estimate: &Estimate) -> String {
    if estimate.mean > 0.0 { format!("{:.2}", estimate.mean) } else { "-".to_owned() }
}

fn capacities(capacities: &[Capacity]) -> String {
    let mut table = plain(&["policy", "capacity: rate", "offered req/s", ""]);
    for row in capacities {
        let (rate, offered) = match (&row.rate_scale, &row.offered_requests_per_s) {
            (Some(rate), Some(offered)) => {
                (interval(rate, 1.0, 3) + "x", interval(offered, 1.0, 2))
            }
            _ => (String::new(), String::new()),
        };
        let note = row.found.iter().find_map(|found| match found {
            Found::AtLeast { rate_scale } => Some(format!("at least {rate_scale}x")),
            Found::Nowhere { rate_scale, within_slo } => {
                Some(format!("none: {:.0} % in SLO even at {rate_scale}x", within_slo * 100.0))
            }
            Found::At { short: true, .. } => Some("workload too short: an upper bound".to_owned()),
            Found::At { .. } => None,
        });
        let label = label(Some(row.policy), row.variant.as_deref());
        table.add_row([label, rate, offered, note.unwrap_or_default()]);
    }
    align(&mut table, 1);
    let share = capacities.first().map_or(0.0, |first| first.within_slo) * 100.0;
    format!(
        "{}Capacity: the highest rate, within 1 %, at which {share} % of the requests meet the \
         SLO.\n",
        trimmed(&table)
    )
}

fn interval(estimate: &Estimate, scale: f64, digits: usize) -> String {
    format!("{:.digits$}{}", estimate.mean * scale, half(estimate, scale, digits))
}

fn half(estimate: &Estimate, scale: f64, digits: usize) -> String {
    match estimate.half_width_95 {
        Some(half) => format!(" ±{:.digits$}", half * scale),
        None => String::new(),
    }
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

/// Four figures at most: 0.123, 12.34, 2898.
fn seconds(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.3}"),
        10.0..1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
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
    if let Some(run) = runs.iter().find(|run| run.profile_standing.is_some()) {
        let name = run.profile.as_deref().unwrap_or_default();
        let standing = run.profile_standing.as_ref().expect("looked for");
        notes += &rests_on(name, standing, run.profile_hbm_tokens_computed);
    }
    let mut named: Vec<&str> = Vec::new();
    for group in runs.first().iter().flat_map(|run| &run.groups) {
        if !named.contains(&group.profile.as_str()) {
            let computed = group.profile_hbm_tokens_computed;
            notes += &rests_on(&group.profile, &group.profile_standing, computed);
            named.push(&group.profile);
        }
    }
    for run in runs.iter().filter(|run| !run.valid) {
        let who = run.policy.map_or_else(String::new, |_| format!("{} ", run.label()));
        let why = run.invalid_because.as_deref().unwrap_or("unknown");
        notes += &format!("\n! {who}{} is not valid: {why}", run.mode.name());
    }
    if runs.iter().any(|run| run.profile.is_none()) {
        notes += "\nEngine times are those of whatever stands behind the target.";
    }
    for run in runs.iter().filter(|run| run.figures.errors > 0) {
        let who = run.policy.map_or_else(String::new, |_| format!("{} ", run.label()));
        for (reason, count) in &run.figures.errors_by_reason {
            let (mode, offered) = (run.mode.name(), run.figures.offered);
            notes += &format!("\n{who}{mode}: {count} of {offered} requests failed: {reason}");
        }
        if let Some(first) = run.live.as_ref().and_then(|live| live.failures.first()) {
            notes += &format!(" (first: {first})");
        }
    }
    notes
}

/// How far a profile's times can be believed.
fn rests_on(name: &str, standing: &Standing, hbm_tokens_computed: Option<u64>) -> String {
    let Standing { validated, band_percent, because } = standing;
    let mut note = match (validated, band_percent) {
        (true, Some(band)) => format!(
            "\nProfile {name}: step times within {band:.0} % in 95 of 100 steps ({because}); prefill \
             behind a cached prefix is modelled. `loadgen fidelity` holds all of it against \
             measurements."
        ),
        (true, None) => format!("\nProfile {name}: its file says that it was validated."),
        (false, Some(band)) => format!(
            "\nProfile {name}: unvalidated, step times may be {band:.0} % off either way ({because}); \
             compare rows with each other, not with a real fleet."
        ),
        (false, None) => format!(
            "\nProfile {name}: unvalidated. Its times were not held against measurements; compare \
             rows with each other, not with a real fleet."
        ),
    };
    if let Some(computed) = hbm_tokens_computed {
        note += &format!(
            "\nProfile {name}: room for KV was given; memory less weights would leave {computed} tokens."
        );
    }
    note
}

/// Each policy against the first one in the mode that ran the most, in a line each.
fn verdicts(runs: &[RunReport], baseline: Option<PolicyConfig>) -> String {
    let Some(mode) = runs.last().map(|run| run.mode) else { return String::new() };
    let rows = || runs.iter().filter(move |run| run.mode == mode);
    let Some(base) = rows().find(|run| run.policy == baseline) else { return String::new() };
    let is_base = |run: &&RunReport| run.label() == base.label();
    let parity = runs.iter().filter(|run| run.mode == Mode::Live).filter_map(|live| {
        let of_same = |run: &&RunReport| run.mode == Mode::SimSlice && run.label() == live.label();
        let twin = runs.iter().find(of_same)?;
        Some(format!("{}, live against sim-slice: {}\n", live.label(), change(twin, live)))
    });
    let others = rows().filter(|run| !is_base(run));
    parity.chain(others.map(|run| format!("{}\n", verdict(base, run)))).collect()
}

/// How much better `best` did than `base`, in one sentence.
fn verdict(base: &RunReport, best: &RunReport) -> String {
    let (best_name, base_name) = (best.label(), base.label());
    format!("{best_name} against {base_name}, {}: {}", best.mode.name(), change(base, best))
}

fn change(from: &RunReport, to: &RunReport) -> String {
    let points = (to.figures.hit_rate - from.figures.hit_rate) * 100.0;
    let (old, new) = (from.figures.ttft_s.mean, to.figures.ttft_s.mean);
    let change = if old > 0.0 { (new / old - 1.0) * 100.0 } else { 0.0 };
    format!("hit rate {points:+.1} points, mean TTFT {change:+.0} %")
}
