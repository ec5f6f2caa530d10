//! Routers that run elsewhere: the hit rate as clients see it beside what the workers counted.

use super::columns;
use crate::figures::{RunReport, TargetFigures};
use warmpath_sheet::{Column, Field, Form, Format, Sheet};

/// A row for each target.
type Row<'a> = (&'a RunReport, &'a TargetFigures);

/// A row for each router that ran elsewhere.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("Routers, and what the workers behind them counted").labels(2);
    let rows = runs.iter().filter_map(|run| Some((run, run.target.as_ref()?)));
    rows.for_each(|row| sheet.push(form.row(&row)));
    sheet
}

/// The sheet without rows.
pub fn blank() -> Sheet {
    form().sheet("Routers, and what the workers behind them counted")
}

fn form<'a>() -> Form<'static, Row<'a>> {
    let text = Column::text;
    let number = Column::number;
    let seen = "The hit rate by the usage that clients get with their answers.";
    let counted = "The hit rate by the counters of the workers.";
    let ended =
        "Requests that the workers ended. More than were sent: the router tried some again.";
    let used = "Workers that computed any prompt token.";
    let load = "Prompt tokens computed by the busiest worker divided by the mean of all workers.";
    let fields: Vec<Field<'static, Row<'a>>> = vec![
        text("target", "router", "The router's name, as --target gives it.")
            .of(|row: &Row<'a>| row.1.name.clone()),
        text("address", "address", "Where it serves.").of(|row: &Row<'a>| row.1.address.clone()),
        number("offered", "sent", "requests", "Requests sent.")
            .of(|row: &Row<'a>| row.0.figures.offered),
        number("worker_requests", "at workers", "requests", ended)
            .of(|row: &Row<'a>| row.1.worker_requests),
        columns::percent("hit_rate", "clients", seen)
            .under("hit %, as counted by")
            .of(|row: &Row<'a>| row.0.figures.hit_rate),
        columns::percent("worker_hit_rate", "workers", counted)
            .under("hit %, as counted by")
            .of(|row: &Row<'a>| row.1.worker_hit_rate),
        number("workers_used", "workers used", "workers", used)
            .of(|row: &Row<'a>| u64::from(row.1.workers())),
        number("balance_max_over_mean", "max/mean", "ratio", load)
            .format(Format::digits(2))
            .of(|row: &Row<'a>| row.1.balance()),
    ];
    Form::new(fields)
}
