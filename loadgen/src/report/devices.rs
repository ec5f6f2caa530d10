//! Users' own devices and the workers as a table.

use super::layout::{align, plain, trimmed};
use crate::figures::{Mode, RunReport};
use warmpath_core::report::Figures;

/// One row per side of each run. Empty if users have no devices.
pub fn render(runs: &[RunReport]) -> String {
    let mut table = plain(&[
        "side",
        "policy",
        "mode",
        "rate",
        "requests",
        "failed",
        "hit %",
        "TTFT s mean",
        "p90",
        "TPOT ms",
        "in SLO %",
        "busy %",
    ]);
    let mut last = None;
    for run in runs {
        let Some(report) = &run.devices else { continue };
        let workers_busy = run.engine.as_ref().map_or(0.0, |engine| engine.utilisation);
        let sides = [
            ("devices", Some(&report.devices), report.utilisation),
            ("workers", report.cluster.as_ref(), workers_busy),
        ];
        for (name, figures, busy) in sides {
            let Some(figures) = figures else { continue };
            table.add_row(row(name, run, figures, busy));
        }
        last = Some(report);
    }
    let Some(report) = last else { return String::new() };
    align(&mut table, 3);
    let (count, used, name) = (report.count, report.used, &report.profile);
    let because = &report.profile_standing.because;
    let standing = if report.profile_standing.validated { "validated" } else { "unvalidated" };
    format!(
        "{}{count} devices of profile {name}, {used} of them used; {standing} ({because}). Their model is \
         another than the workers': what it costs is comparable, what its answers are worth is not. \
         Token counts are the workload's on either side.\n",
        trimmed(&table)
    )
}

fn row(name: &str, run: &RunReport, figures: &Figures, busy: f64) -> [String; 12] {
    let mode: Mode = run.mode;
    [
        name.to_owned(),
        run.label(),
        mode.name().to_owned(),
        run.rate_scale.to_string(),
        figures.requests.to_string(),
        figures.errors.to_string(),
        format!("{:.1}", figures.hit_rate * 100.0),
        format!("{:.3}", figures.ttft_s.mean),
        format!("{:.3}", figures.ttft_s.p90),
        format!("{:.1}", figures.tpot_s.mean * 1e3),
        format!("{:.1}", figures.within_slo * 100.0),
        format!("{:.1}", busy * 100.0),
    ]
}
