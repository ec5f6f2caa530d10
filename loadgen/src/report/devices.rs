//! Users' own devices and the workers as a table.

use super::columns;
use crate::figures::{DeviceReport, RunReport};
use warmpath_core::report::Figures;
use warmpath_sheet::{Column, Form, Sheet};

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
    if let Some(report) = runs.iter().filter_map(|run| run.devices.as_ref()).next_back() {
        sheet.note(about(report));
    }
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Devices and workers")
}

fn form<'a>() -> Form<'static, Side<'a>> {
    let side = "devices: requests that stayed on their user's device; workers: the others.";
    Form::new([
        Column::text("side", "side", side).of(|side: &Side<'_>| side.name),
        columns::label().of(|side: &Side<'_>| side.run.label()),
        columns::mode().of(|side: &Side<'_>| side.run.mode.name()),
        columns::rate().of(|side: &Side<'_>| side.run.rate_scale),
        columns::requests().of(|side: &Side<'_>| side.figures.requests),
        columns::failed().of(|side: &Side<'_>| side.figures.errors),
        columns::hit_rate().of(|side: &Side<'_>| side.figures.hit_rate),
        columns::ttft_mean().of(|side: &Side<'_>| side.figures.ttft_s.mean),
        columns::ttft_p90().of(|side: &Side<'_>| side.figures.ttft_s.p90),
        columns::tpot_mean().of(|side: &Side<'_>| side.figures.tpot_s.mean),
        columns::within_slo().of(|side: &Side<'_>| side.figures.within_slo),
        columns::percent(
            "utilisation",
            "busy %",
            "Share of the time in which a device or worker computed.",
        )
        .of(|side: &Side<'_>| side.busy),
    ])
}

fn sides(run: &RunReport) -> Vec<Side<'_>> {
    let Some(report) = &run.devices else { return Vec::new() };
    let workers_busy = run.engine.as_ref().map_or(0.0, |engine| engine.utilisation);
    let devices = Side { name: "devices", run, figures: &report.devices, busy: report.utilisation };
    let workers = |figures| Side { name: "workers", run, figures, busy: workers_busy };
    [devices].into_iter().chain(report.cluster.as_ref().map(workers)).collect()
}

fn about(report: &DeviceReport) -> String {
    let DeviceReport { count, used, profile, profile_standing, .. } = report;
    let because = &profile_standing.because;
    let standing = if profile_standing.validated { "validated" } else { "unvalidated" };
    format!(
        "{count} devices of profile {profile}, {used} of them used; {standing} ({because}). They run \
         another model than the workers: compare costs, not the worth of answers. Token counts are \
         the workload's on either side."
    )
}
