//! The classes of a mixed workload.

use super::columns;
use crate::figures::{ClassFigures, RunReport};
use warmpath_sheet::{Column, Form, Sheet};

/// A class of the workload in one run.
type One<'a> = (&'a RunReport, &'a ClassFigures);

/// A row for each class of each run; none where there is one class.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("Classes of the workload").labels(3);
    for run in runs {
        for class in &run.classes {
            sheet.push(form.row(&(run, class)));
        }
    }
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Classes of the workload")
}

fn form<'a>() -> Form<'static, One<'a>> {
    let on_devices = "Share of the class's answered requests that users' own devices answered.";
    let within = "Share of the class's answered requests that kept the SLO.";
    Form::new([
        Column::text("class", "class", "The class, as the workload's file names it.")
            .of(|(_, class): &One<'_>| class.name.clone()),
        columns::label().of(|(run, _): &One<'_>| run.label()),
        columns::mode().of(|(run, _): &One<'_>| run.mode.name()),
        columns::rate().of(|(run, _): &One<'_>| run.rate_scale),
        columns::requests().of(|(_, class): &One<'_>| class.requests),
        columns::percent("on_devices", "on devices %", on_devices)
            .of(|(_, class): &One<'_>| share(class.on_devices, class.requests)),
        columns::hit_rate().of(|(_, class): &One<'_>| class.hit_rate),
        columns::ttft_mean().of(|(_, class): &One<'_>| class.ttft_s.map(|ttft| ttft.mean)),
        columns::ttft_p90().of(|(_, class): &One<'_>| class.ttft_s.map(|ttft| ttft.p90)),
        columns::tpot_mean().of(|(_, class): &One<'_>| class.tpot_mean_s),
        columns::percent("within_slo", "in SLO %", within)
            .of(|(_, class): &One<'_>| class.within_slo),
    ])
}

/// None: no request of the class was answered.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
