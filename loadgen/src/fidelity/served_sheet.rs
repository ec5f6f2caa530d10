//! Errors of served systems: a row for each system and model.

use super::error_columns::{bias, errors, line, pair, worst};
use super::served::{AllServed, Served};
use warmpath_sheet::{Column, Form, Sheet, Value};

/// The systems, with the errors of all of one kind below them.
pub fn sheet(served: &AllServed) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("").labels(3);
    served.lines.iter().for_each(|line| sheet.push(form.row(line)));
    for (what, errors) in [
        ("vLLM (InferenceX), concurrency 4 to 64, TPOT", &served.vllm_tpot),
        ("the same, TTFT", &served.vllm_ttft),
        ("the same, TTFT at concurrency 4", &served.vllm_ttft_at_4),
        ("vLLM beyond 64 (server limits not recorded), TPOT", &served.vllm_tpot_beyond_64),
    ] {
        if let Some(errors) = errors {
            sheet.note(format!("{what}: {}", line(errors)));
        }
    }
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Fidelity: served systems")
}

fn form() -> Form<'static, Served> {
    let text = Column::text;
    let rows = "Measurements of TPOT.";
    Form::new([
        text("source", "source", "Who published the measurements.")
            .of(|one: &Served| one.source.clone()),
        text("engine", "engine", "The serving engine.").of(|one: &Served| one.engine.clone()),
        text("device", "device", "The device.").of(|one: &Served| one.device.clone()),
        text("model", "model", "The model.").of(|one: &Served| one.model.clone()),
        text("precision", "precision", "The number format of the weights.")
            .of(|one: &Served| one.precision.to_string()),
        Column::number("rows", "rows", "rows", rows)
            .of(|one: &Served| one.tpot.as_ref().map_or(0, |tpot| tpot.rows)),
        errors("tpot", "TPOT", "Error of TPOT: median and p95.")
            .of(|one: &Served| pair(one.tpot.as_ref())),
        bias("tpot_bias", "Median error of TPOT with its sign.")
            .of(|one: &Served| Value::or_blank(one.tpot.as_ref().map(|tpot| tpot.bias_percent))),
        errors("ttft", "TTFT", "Error of TTFT: median and p95.")
            .of(|one: &Served| pair(one.ttft.as_ref())),
        bias("ttft_bias", "Median error of TTFT with its sign.")
            .of(|one: &Served| Value::or_blank(one.ttft.as_ref().map(|ttft| ttft.bias_percent))),
        text("worst", "worst TPOT", "The largest error of TPOT, and the row that has it.")
            .of(|one: &Served| Value::or_blank(one.tpot.as_ref().map(worst))),
    ])
}
