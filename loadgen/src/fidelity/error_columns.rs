//! Columns of errors that several tables have.

use super::errors::Errors;
use warmpath_sheet::{Column, Format, Style, Value};

/// Median and p95 of the errors' sizes in percent, in one cell.
pub fn errors(key: &'static str, heading: &'static str, meaning: &'static str) -> Column {
    Column::number(key, heading, "%", meaning).format(Format::digits(1)).pair(["median", "p95"])
}

/// Blank where there is nothing to compare.
pub fn pair(errors: Option<&Errors>) -> Value {
    errors.map_or(Value::Blank, |one| Value::Pair(one.median_percent, one.p95_percent))
}

/// The median error with its sign.
pub fn bias(key: &'static str, meaning: &'static str) -> Column {
    Column::number(key, "bias", "%", meaning).format(Format::of(Style::Signed(0)))
}

/// The largest error, and the row that has it.
pub fn worst(errors: &Errors) -> String {
    format!("{:+.0} % {}", errors.worst_percent, errors.worst)
}

/// Median and p95 in prose.
pub fn pair_text(errors: Option<&Errors>) -> String {
    errors.map_or_else(
        || "-".to_owned(),
        |one| format!("{:.1} / {:.1}", one.median_percent, one.p95_percent),
    )
}

/// All of it in prose.
pub fn line(errors: &Errors) -> String {
    format!(
        "{} rows, median error {:.1} %, p95 {:.1} %; worst {}",
        errors.rows,
        errors.median_percent,
        errors.p95_percent,
        worst(errors)
    )
}
