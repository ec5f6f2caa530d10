//! Many seeds or rates: a row for each policy and rate.

use super::columns;
use crate::figures::{Comparison, Estimate, label};
use warmpath_sheet::{Column, Form, Format, Sheet, Style, Value};

pub fn sheet(title: &str, comparisons: &[Comparison]) -> Sheet {
    let form = form(comparisons.iter().any(|row| row.errors > 0 || !row.valid));
    let mut sheet = form.sheet(title);
    let mut last = None;
    for row in comparisons {
        if last.replace(row.rate_scale).is_some_and(|last| last != row.rate_scale) {
            sheet.begin_group();
        }
        sheet.push(form.row(row));
    }
    sheet.note(how(comparisons));
    sheet.labels(2)
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form(true).sheet("Several seeds or rates: a row for each policy and rate")
}

fn form(has_failures: bool) -> Form<'static, Comparison> {
    let number = Column::number;
    let digits = Format::digits;
    let change = Format::of(Style::Change(1));
    let balance =
        "Tokens computed by the busiest worker divided by the mean of all workers; 1 is even.";
    let failed = "Requests that failed, with all seeds; an exclamation mark says that a run is not \
                  valid, and a line below says why.";
    let which = [
        columns::label().of(|row: &Comparison| label(Some(&row.policy), row.variant.as_deref())),
        columns::rate().format(Format::PLAIN.suffix("x")).of(|row: &Comparison| row.rate_scale),
    ];
    let failures = Column::text("failed", "failed", failed).of(|row: &Comparison| {
        let mark = if row.valid { "" } else { " !" };
        format!("{} of {}{mark}", row.errors, row.offered)
    });
    let figures = [
        number(
            "hit_percent",
            "hit %",
            "%",
            "Cached prompt tokens in percent of all prompt tokens.",
        )
        .format(digits(1))
        .interval()
        .of(|row: &Comparison| known(row.hit_percent.as_ref())),
        number("ttft_mean_s", "mean", "s", "Mean time to first token.")
            .under("TTFT s")
            .format(digits(3))
            .interval()
            .of(|row: &Comparison| known(row.ttft_mean_s.as_ref())),
        number(
            "ttft_p99_s",
            "p99",
            "s",
            "Time to first token that 99 % of the requests do not exceed.",
        )
        .under("TTFT s")
        .format(digits(2))
        .interval()
        .of(|row: &Comparison| known(row.ttft_p99_s.as_ref())),
        columns::tpot_mean().interval().of(|row: &Comparison| known(row.tpot_mean_s.as_ref())),
        number(
            "within_slo_percent",
            "in SLO %",
            "%",
            "Requests that kept the SLO in percent of those sent.",
        )
        .format(digits(1))
        .interval()
        .of(|row: &Comparison| interval(&row.within_slo_percent)),
        number("balance_max_over_mean", "max/mean", "ratio", balance)
            .format(digits(2))
            .of(|row: &Comparison| row.balance_max_over_mean.map(|balance| balance.mean)),
        number(
            "hit_points",
            "hit points",
            "points",
            "Hit percent less that of the baseline, seed by seed.",
        )
        .format(change)
        .interval()
        .of(|row: &Comparison| against(row.hit_points.as_ref())),
        number(
            "ttft_change_percent",
            "mean TTFT",
            "%",
            "Mean TTFT against the baseline, seed by seed.",
        )
        .format(change.suffix(" %"))
        .interval()
        .of(|row: &Comparison| against(row.ttft_change_percent.as_ref())),
    ];
    Form::new(which.into_iter().chain(has_failures.then_some(failures)).chain(figures))
}

fn interval(estimate: &Estimate) -> Value {
    Value::interval(estimate.mean, estimate.half_width_95)
}

/// The baseline has no difference to itself.
fn against(estimate: Option<&Estimate>) -> Value {
    estimate.map_or(Value::Blank, interval)
}

fn known(estimate: Option<&Estimate>) -> Value {
    estimate.map_or(Value::Absent, interval)
}

fn how(comparisons: &[Comparison]) -> String {
    let baseline = comparisons.first().map_or("", |first| first.baseline.as_str());
    match comparisons.iter().map(|row| row.goodput_requests_per_s.n).max().unwrap_or(0) {
        0 | 1
            if comparisons
                .iter()
                .any(|row| row.ttft_change_percent.is_some_and(|c| c.over_parts)) =>
        {
            format!(
                "One seed, or the same run with every seed. The last two columns are differences to {baseline}; that of \
                 TTFT has a 95 % interval, by a block bootstrap of the run. \"?\": it holds 0, or there is none."
            )
        }
        0 | 1 => {
            format!(
                "One seed, or the same run with every seed, so no intervals; the last two columns \
                 are differences to {baseline}."
            )
        }
        seeds => format!(
            "Means over {seeds} seeds with 95 % intervals (Student's t); the last two columns are \
             differences to {baseline}, seed by seed. \"?\": the interval holds 0."
        ),
    }
}
