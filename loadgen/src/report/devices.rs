//! Users' own devices beside the workers.

use super::columns;
use crate::figures::{DeviceReport, RunReport};
use warmpath_core::report::Figures;
use warmpath_sheet::{Column, Form, Sheet};

/// What the devices or the workers of a run did.
struct Side<'a> {
    name: &'static str,
    run: &'a RunReport,
    figures: &'a Figures,
    /// Share of the time in which it computed.
    busy: f64,
}

/// A row for each side of each run; none where users have no devices.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("Devices and workers").labels(3);
    for side in runs.iter().flat_map(sides) {
        sheet.push(form.row(&side));
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
        columns::ttft_mean().of(|side: &Side<'_>| side.figures.ttft_s.map(|ttft| ttft.mean)),
        columns::ttft_p90().of(|side: &Side<'_>| side.figures.ttft_s.map(|ttft| ttft.p90)),
        columns::tpot_mean().of(|side: &Side<'_>| side.figures.tpot_s.map(|tpot| tpot.mean)),
        columns::within_slo().of(|side: &Side<'_>| {
            Some(side.figures.within_slo).filter(|_| side.figures.offered > 0)
        }),
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
