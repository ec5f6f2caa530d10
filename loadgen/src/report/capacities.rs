//! The capacity of each policy.

use super::columns;
use crate::figures::{Capacity, Estimate, Found, label};
use warmpath_sheet::{Column, Form, Format, Sheet, Value};

pub fn sheet(capacities: &[Capacity]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("Capacity");
    capacities.iter().for_each(|row| sheet.push(form.row(row)));
    let share = capacities.first().map_or(0.0, |first| first.within_slo) * 100.0;
    sheet.note(format!(
        "Capacity: the highest rate, within 1 %, at which {share} % of the requests meet the SLO."
    ));
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Capacity")
}

fn form() -> Form<'static, Capacity> {
    let rate = "The highest arrival rate that keeps the SLO, divided by the workload's own.";
    let offered = "Requests sent a second at that rate.";
    let remark = "Why there is no rate, or why the rate is a bound.";
    Form::new([
        columns::label().of(|row: &Capacity| label(Some(&row.policy), row.variant.as_deref())),
        Column::number("capacity_rate_scale", "capacity: rate", "ratio", rate)
            .format(Format::digits(3).suffix("x"))
            .interval()
            .of(|row: &Capacity| interval(row.rate_scale.as_ref())),
        Column::number("offered_requests_per_s", "offered req/s", "requests/s", offered)
            .format(Format::digits(2))
            .interval()
            .of(|row: &Capacity| interval(row.offered_requests_per_s.as_ref())),
        Column::text("remark", "", remark).wraps().of(remark_of),
    ])
}

fn interval(estimate: Option<&Estimate>) -> Value {
    estimate.map_or(Value::Blank, |one| Value::interval(one.mean, one.half_width_95))
}

fn remark_of(row: &Capacity) -> Value {
    let remark = row.found.iter().find_map(|found| match found {
        Found::AtLeast { rate_scale } => Some(format!("at least {rate_scale}x")),
        Found::Nowhere { rate_scale, within_slo } => {
            Some(format!("none: {:.0} % in SLO even at {rate_scale}x", within_slo * 100.0))
        }
        Found::At { short: true, .. } => Some("workload too short: an upper bound".to_owned()),
        Found::At { .. } => None,
    });
    Value::or_blank(remark)
}
