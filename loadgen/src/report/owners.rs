//! Hit rate by the requests that computed the tokens, means over all seeds.

use super::columns;
use super::over_seeds::{Alike, known_mean, over_seeds};
use crate::figures::RunReport;
use warmpath_core::report::{ByOwner, TenantFigures};
use warmpath_sheet::{Column, Form, Format, Sheet, Value};

/// A row for each policy, variant, mode and rate.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("Hit rate by owner").labels(3);
    over_seeds(runs).iter().for_each(|alike| sheet.push(form.row(alike)));
    sheet.note(
        "Own session: what earlier requests of the same user had; public: what the operator shares \
         with all; then what others left.",
    );
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Hit rate by owner")
}

fn form<'a>() -> Form<'static, Alike<'a>> {
    let own = "The part of the hit rate that earlier requests of the same session left.";
    let public = "The part of the hit rate that lay in the operator's public prefix.";
    let other = "The part of the hit rate that requests of other sessions left.";
    let worst = "The longest TTFT p95 of any tenant.";
    let percent = |key, heading, meaning| {
        Column::number(key, heading, "share", meaning).format(Format::percent(1)).under("hit %")
    };
    Form::new([
        columns::label().of(|runs: &Alike<'_>| runs[0].label()),
        columns::mode().of(|runs: &Alike<'_>| runs[0].mode.name()),
        columns::rate().of(|runs: &Alike<'_>| runs[0].rate_scale),
        percent("hit_own_session", "own session", own)
            .of(|runs: &Alike<'_>| part(runs, |parts| parts.own_session)),
        percent("hit_public", "public", public)
            .of(|runs: &Alike<'_>| part(runs, |parts| parts.public)),
        percent("hit_other_session", "other sessions", other)
            .of(|runs: &Alike<'_>| part(runs, |parts| parts.other_session)),
        Column::number("tenants", "tenants", "tenants", "Tenants that had an answer.")
            .of(|runs: &Alike<'_>| runs[0].figures.tenants.len().max(1)),
        columns::percent("least_hit_rate", "least hit %", "The lowest hit rate of any tenant.")
            .of(|runs: &Alike<'_>| of_tenants(runs, |tenant| tenant.hit_rate, f64::min)),
        columns::percent("most_hit_rate", "most hit %", "The highest hit rate of any tenant.")
            .of(|runs: &Alike<'_>| of_tenants(runs, |tenant| tenant.hit_rate, f64::max)),
        columns::seconds("worst_ttft_p95_s", "worst TTFT p95 s", worst)
            .of(|runs: &Alike<'_>| of_tenants(runs, |tenant| tenant.ttft_p95_s, f64::max)),
    ])
}

/// A part of the hit rate; None where a run answered no request.
fn part(runs: &[&RunReport], of: fn(&ByOwner<f64>) -> f64) -> Option<f64> {
    known_mean(runs, |run| run.figures.hit_rate_by_owner.as_ref().map(of))
}

/// The least or the greatest of all tenants with all seeds; blank where there is one tenant.
fn of_tenants(
    runs: &[&RunReport],
    of: fn(&TenantFigures) -> f64,
    better: fn(f64, f64) -> f64,
) -> Value {
    let tenants = runs.iter().flat_map(|run| &run.figures.tenants);
    Value::or_blank(tenants.map(of).reduce(better))
}
