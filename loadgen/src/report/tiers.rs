//! Hit rate by the origin of the blocks, as a table, for runs with more than HBM.

use super::layout::{align, over_seeds, plain, trimmed};
use super::links;
use crate::figures::{EngineFigures, RunReport};
use warmpath_core::id::{MAX_TIERS, ORIGINS};

/// Names of the origins that are not a worker's own tiers, in their order.
const OTHERS: [&str; ORIGINS - MAX_TIERS] = ["pool", "peers"];

/// One row per policy, variant, mode and rate, over all seeds. Empty for HBM alone.
pub fn render(runs: &[RunReport]) -> String {
    let Some(most) = runs.iter().max_by_key(|run| run.tiers.len()) else { return String::new() };
    let shares =
        |run: &RunReport| run.figures.hit_rate_by_tier[MAX_TIERS..].iter().any(|&r| r > 0.0);
    let shared = runs.iter().any(shares);
    if most.tiers.len() < 2 && !shared {
        return String::new();
    }
    let mut header: Vec<&str> = vec!["hit % by origin", "mode", "rate"];
    let mut tiers: Vec<&str> = most.tiers.iter().map(String::as_str).collect();
    for name in runs.iter().flat_map(|run| &run.tiers) {
        if !tiers.contains(&name.as_str()) {
            tiers.push(name);
        }
    }
    header.extend(&tiers);
    header.extend(if shared { &OTHERS[..] } else { &[] });
    header.extend(["loaded GB", "fetched GB", "waited s/req", "copies"]);
    let mut table = plain(&header);
    for group in over_seeds(runs) {
        table.add_row(row(&group, &tiers, shared));
    }
    align(&mut table, 2);
    let legend = "Loaded: from the workers' own tiers behind HBM; fetched: from pool and peers. Copies: \
                  of each block, over the workers that hold it at the end.";
    format!("{}{legend}\n{}{}", trimmed(&table), failures(runs), links::render(runs))
}

/// The reasons of failed fetches, one line per run that has any.
fn failures(runs: &[RunReport]) -> String {
    let line = |run: &RunReport| {
        let engine = run.engine.as_ref().filter(|engine| engine.failed_fetches > 0)?;
        let by = engine.failed_fetches_by;
        let kinds = [
            ("missing", by.missing),
            ("gone", by.gone),
            ("late", by.late),
            ("corrupt", by.corrupt),
        ];
        let kinds: Vec<_> = kinds
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(why, count)| format!("{count} {why}"))
            .collect();
        let (all, kinds) = (engine.failed_fetches, kinds.join(", "));
        Some(format!("{}, {}: {all} fetches failed: {kinds}.\n", run.label(), run.mode.name()))
    };
    runs.iter().filter_map(line).collect()
}

fn row(runs: &[&RunReport], tiers: &[&str], shared: bool) -> Vec<String> {
    let mean = |of: &dyn Fn(&RunReport) -> f64| {
        runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64
    };
    let first = runs[0];
    let mut cells = vec![first.label(), first.mode.name().to_owned(), first.rate_scale.to_string()];
    let percent =
        |origin: usize| format!("{:.1}", mean(&|run| run.figures.hit_rate_by_tier[origin] * 100.0));
    let own = |name: &&str| first.tiers.iter().position(|tier| tier == name).map(percent);
    cells.extend(tiers.iter().map(|name| own(name).unwrap_or_default()));
    cells.extend((MAX_TIERS..ORIGINS).filter(|_| shared).map(percent));
    if first.engine.is_none() {
        return cells;
    }
    let of = |run: &RunReport, what: &dyn Fn(&EngineFigures) -> f64| {
        run.engine.as_ref().map_or(0.0, what)
    };
    let loaded = |engine: &EngineFigures| {
        engine.tiers.iter().fold(0.0, |sum, tier| sum + tier.loaded_bytes) / 1e9
    };
    let waited = |run: &RunReport| {
        of(run, &|engine| engine.load_wait_s) / (run.figures.requests.max(1) as f64)
    };
    let copies = |engine: &EngineFigures| {
        engine.resident_copies as f64 / engine.resident_blocks.max(1) as f64
    };
    cells.push(format!("{:.1}", mean(&|run| of(run, &loaded))));
    cells.push(format!("{:.1}", mean(&|run| of(run, &|engine| engine.fetched_bytes / 1e9))));
    cells.push(format!("{:.3}", mean(&waited)));
    cells.push(format!("{:.2}", mean(&|run| of(run, &copies))));
    cells
}
