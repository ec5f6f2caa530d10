//! Many seeds or rates: a row for each policy and rate.

use super::columns;
use crate::figures::{Comparison, Estimate, label};
use warmpath_sheet::{Column, Form, Format, Sheet, Style, Value};

pub fn sheet(title: &str, comparisons: &[Comparison]) -> Sheet {
    let form = form();
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
    form().sheet("Several seeds or rates: a row for each policy and rate")
}

fn form() -> Form<'static, Comparison> {
    let number = Column::number;
    let digits = Format::digits;
    let change = Format::of(Style::Change(1));
    let balance =
        "Tokens computed by the busiest worker divided by the mean of all workers; 1 is even.";
    Form::new([
        columns::label().of(|row: &Comparison| label(Some(&row.policy), row.variant.as_deref())),
        columns::rate().format(Format::PLAIN.suffix("x")).of(|row: &Comparison| row.rate_scale),
        number(
            "hit_percent",
            "hit %",
            "%",
            "Cached prompt tokens in percent of all prompt tokens.",
        )
        .format(digits(1))
        .interval()
        .of(|row: &Comparison| interval(&row.hit_percent)),
        number("ttft_mean_s", "mean", "s", "Mean time to first token.")
            .under("TTFT s")
            .format(digits(3))
            .interval()
            .of(|row: &Comparison| interval(&row.ttft_mean_s)),
        number(
            "ttft_p99_s",
            "p99",
            "s",
            "Time to first token that 99 % of the requests do not exceed.",
        )
        .under("TTFT s")
        .format(digits(2))
        .interval()
        .of(|row: &Comparison| interval(&row.ttft_p99_s)),
        columns::tpot_mean().interval().of(|row: &Comparison| interval(&row.tpot_mean_s)),
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
            .of(|row: &Comparison| known_balance(&row.balance_max_over_mean)),
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
    ])
}

fn interval(estimate: &Estimate) -> Value {
    Value::interval(estimate.mean, estimate.half_width_95)
}

/// The baseline has no difference to itself.
fn against(estimate: Option<&Estimate>) -> Value {
    estimate.map_or(Value::Blank, interval)
}

/// No load is below the mean of all; 0 stands for fleets whose workers do different things.
fn known_balance(estimate: &Estimate) -> Value {
    Some(estimate.mean).filter(|&mean| mean > 0.0).into()
}

fn how(comparisons: &[Comparison]) -> String {
    let baseline = comparisons.first().map_or("", |first| first.baseline.as_str());
    match comparisons.iter().map(|row| row.hit_percent.n).max().unwrap_or(0) {
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
