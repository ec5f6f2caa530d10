//! Hit rate by the owner of the reused work, as a table, for runs with tenants.

use super::layout::{align, over_seeds, plain, trimmed};
use crate::figures::RunReport;

/// One row per policy, variant, mode and rate, over all seeds.
pub fn render(runs: &[RunReport]) -> String {
    let header = ["hit % by owner", "mode", "rate", "own session", "public", "other sessions"];
    let spread = ["tenants", "least hit %", "most hit %", "worst TTFT p95 s"];
    let mut table = plain(&[&header[..], &spread[..]].concat());
    for group in over_seeds(runs) {
        table.add_row(row(&group));
    }
    align(&mut table, 2);
    let legend = "Own session: what earlier requests of the same user had; public: what the operator shares \
                  with all; then what others left.";
    format!("{}{legend}\n", trimmed(&table))
}

fn row(runs: &[&RunReport]) -> Vec<String> {
    let mean = |of: &dyn Fn(&RunReport) -> f64| {
        runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64
    };
    let percent = |of: &dyn Fn(&RunReport) -> f64| format!("{:.1}", mean(of) * 100.0);
    let first = runs[0];
    let tenants = || runs.iter().flat_map(|run| &run.figures.tenants);
    let hits = || tenants().map(|tenant| tenant.hit_rate * 100.0);
    let mut cells = vec![
        first.label(),
        first.mode.name().to_owned(),
        first.rate_scale.to_string(),
        percent(&|run| run.figures.hit_rate_by_owner.own_session),
        percent(&|run| run.figures.hit_rate_by_owner.public),
        percent(&|run| run.figures.hit_rate_by_owner.other_session),
        first.figures.tenants.len().max(1).to_string(),
    ];
    if !first.figures.tenants.is_empty() {
        let worst = tenants().map(|tenant| tenant.ttft_p95_s).fold(0.0, f64::max);
        cells.push(format!("{:.1}", hits().fold(100.0, f64::min)));
        cells.push(format!("{:.1}", hits().fold(0.0, f64::max)));
        cells.push(format!("{worst:.3}"));
    }
    cells
}
