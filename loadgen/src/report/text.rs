//! The text that a person reads.

use super::{
    capacities, classes, devices, economics, footnotes, grid, groups, owners, singles, tiers,
    verdicts,
};
use crate::figures::{Mode, Results, RunReport};
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::NamedPolicy;

/// The whole text: one row per run, or one per policy and rate of a grid; then capacities; then the
/// basis of the figures. At most 120 columns wide.
pub fn render(title: &str, results: &Results, slo: &Slo, baseline: Option<&NamedPolicy>) -> String {
    let runs = &results.runs;
    let is_grid = !results.comparisons.is_empty();
    let single = |run: &&RunReport| !is_grid || run.mode != Mode::Sim;
    let mut text = format!("{title}\n\n");
    let rows: Vec<&RunReport> = runs.iter().filter(single).collect();
    if !rows.is_empty() {
        text += &singles::singles(&rows);
    }
    if is_grid {
        text += &grid::grid(&results.comparisons);
    }
    text += &groups::render(runs);
    text += &tiers::render(runs);
    text += &devices::render(runs);
    text += &classes::render(runs);
    text += &economics::render(runs);
    if results.by_owner {
        text += &owners::render(runs);
    }
    if !results.capacities.is_empty() {
        text += &capacities::capacities(&results.capacities);
    }
    text += &format!(
        "Within the SLO (good): TTFT up to {} s and TPOT up to {} ms.",
        slo.ttft_s,
        slo.tpot_s * 1e3
    );
    text += &footnotes::footnotes(runs);
    for note in &results.notes {
        text += &format!("\n{note}");
    }
    text += "\n";
    if !is_grid {
        text += &verdicts::verdicts(runs, baseline);
    }
    text
}
