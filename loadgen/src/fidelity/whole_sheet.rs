//! Errors of whole steps: as shipped, and of steps that were left out of a fit.

use super::carried::WholeSteps;
use super::error_columns::{bias, errors, pair, worst};
use super::whole::Line;
use super::whole_fit::LeftOut;
use warmpath_sheet::{Column, Form, Format, Sheet, Style};

const TITLE: &str = "Whole steps, host and launching included: median/p95 error in percent";
const OUT_TITLE: &str = "Whole steps left out of the fit in turn: median/p95 error in percent";

/// The errors of the constants as shipped, then those of steps that were left out.
pub fn sheets(steps: &WholeSteps) -> Vec<Sheet> {
    let form = form();
    let mut shipped = form.sheet(format!("{TITLE}:")).labels(5);
    steps.lines.iter().for_each(|line| shipped.push(form.row(line)));
    let form = out_form();
    let mut left_out = form.sheet(format!("{OUT_TITLE}:")).labels(4);
    steps.left_out.iter().for_each(|one| left_out.push(form.row(one)));
    [shipped, left_out].into_iter().filter(|sheet| !sheet.is_empty()).collect()
}

/// The sheets without rows, with every column that they can have.
pub fn blanks() -> [Sheet; 2] {
    [form().sheet("Fidelity: whole steps"), out_form().sheet("Fidelity: whole steps left out")]
}

fn form() -> Form<'static, Line> {
    let text = Column::text;
    let rows = |key, heading, meaning| Column::number(key, heading, "rows", meaning);
    let within = "Of these, rows whose time lies between the fastest and the slowest repeat.";
    Form::new([
        text("device", "device", "The device.").of(|line: &Line| line.device.clone()),
        text("model", "model", "The model.").of(|line: &Line| line.model.clone()),
        text("precision", "precision", "The number format of the weights.")
            .of(|line: &Line| line.precision.to_string()),
        Column::number("tp", "tp", "devices", "Devices that the model is split over.")
            .of(|line: &Line| line.tp),
        text("phase", "phase", "What the steps do: prefill, decode, or both mixed.")
            .of(|line: &Line| line.phase.clone()),
        rows("rows", "rows", "Measurements.").of(|line: &Line| line.shipped.rows),
        errors("shipped", "shipped", "Error of the constants as shipped: median and p95.")
            .of(|line: &Line| pair(Some(&line.shipped))),
        bias("bias", "Median error with its sign.")
            .format(Format::of(Style::Signed(1)))
            .of(|line: &Line| line.shipped.bias_percent),
        rows("beyond_5_percent", "beyond 5 %", "Rows that are more than 5 % off.")
            .of(|line: &Line| line.beyond_5_percent),
        rows("within_repeats", "in repeats", within).of(|line: &Line| line.of_them_within_repeats),
        text("worst", "worst, shipped", "The largest error as shipped, and the row that has it.")
            .of(|line: &Line| worst(&line.shipped)),
    ])
}

fn out_form() -> Form<'static, LeftOut> {
    let text = Column::text;
    Form::new([
        text("device", "device", "The device.").of(|one: &LeftOut| one.device.clone()),
        text("model", "model", "The model.").of(|one: &LeftOut| one.model.clone()),
        text("phase", "phase", "What the steps do: prefill or decode.")
            .of(|one: &LeftOut| one.phase.clone()),
        text("by", "left out", "Steps that have this in common were left out together.")
            .of(|one: &LeftOut| one.by.clone()),
        Column::number("rows", "rows", "rows", "Measurements.").of(|one: &LeftOut| one.errors.rows),
        errors("errors", "error", "Error of constants that were fitted to the others.")
            .of(|one: &LeftOut| pair(Some(&one.errors))),
        text("worst", "worst", "The largest error, and the row that has it.")
            .of(|one: &LeftOut| worst(&one.errors)),
    ])
}
