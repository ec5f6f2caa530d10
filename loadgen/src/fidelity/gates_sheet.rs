//! Gates: what the errors are held to.

use super::error_columns::{errors, pair};
use super::errors::Errors;
use super::report::Report;
use warmpath_sheet::{Column, Form, Format, Sheet, Value};

/// Some errors, and the most that their median and p95 may be.
struct Gate<'a> {
    what: String,
    errors: Option<&'a Errors>,
    median: f64,
    p95: f64,
}

/// A row for each gate that there are measurements for.
pub fn sheet(report: &Report) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("");
    for gate in gates(report).iter().filter(|gate| gate.errors.is_some()) {
        sheet.push(form.row(gate));
    }
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Fidelity: gates")
}

fn form<'a>() -> Form<'static, Gate<'a>> {
    Form::new([
        Column::text("gate", "", "What is compared.").of(|gate: &Gate<'_>| gate.what.clone()),
        Column::number("rows", "rows", "rows", "Measurements.")
            .of(|gate: &Gate<'_>| gate.errors.map(|errors| errors.rows)),
        errors("errors", "median/p95 %", "The error: median and p95.")
            .of(|gate: &Gate<'_>| pair(gate.errors)),
        errors("most", "at most", "The most that the error may be.")
            .format(Format::PLAIN)
            .of(|gate: &Gate<'_>| Value::Pair(gate.median, gate.p95)),
        Column::text("verdict", "", "Whether median and p95 are both within that.").of(verdict),
    ])
}

fn verdict(gate: &Gate<'_>) -> &'static str {
    let is_met =
        |errors: &Errors| errors.median_percent <= gate.median && errors.p95_percent <= gate.p95;
    if gate.errors.is_some_and(is_met) { "met" } else { "MISSED" }
}

fn gates(report: &Report) -> Vec<Gate<'_>> {
    let mut gates = Vec::new();
    for total in report.steps.totals.iter().filter(|total| total.provenance == "composed_in_grid") {
        let phase = &total.phase;
        let mut gate = |what: &str, errors, median, p95| {
            gates.push(Gate { what: format!("{phase} steps, {what}"), errors, median, p95 });
        };
        gate("constants as shipped", Some(&total.shipped), 5.0, 20.0);
        gate("constants fitted here (in-sample)", Some(&total.fitted), 5.0, 20.0);
        gate("model left out", total.left_out.as_ref(), 10.0, 45.0);
    }
    let tpot = report.served.vllm_tpot.as_ref();
    let what = "served TPOT, vLLM, concurrency 4 to 64".to_owned();
    gates.push(Gate { what, errors: tpot, median: 6.0, p95: 28.0 });
    let tpot = report.served.vllm_tpot_all.as_ref();
    let what = "the same, beyond 64 too (the servers' limits are not recorded)".to_owned();
    gates.push(Gate { what, errors: tpot, median: 8.0, p95: 30.0 });
    let anchors = report.published.decode_anchor_errors.as_ref();
    gates.push(Gate { what: "decode anchors".into(), errors: anchors, median: 15.0, p95: 15.0 });
    let transfers = report.published.kv_transfer_errors.as_ref();
    gates.push(Gate { what: "KV transfers".into(), errors: transfers, median: 20.0, p95: 20.0 });
    gates
}
