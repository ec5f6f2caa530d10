//! Errors of served TPOT with a model or a device left out of the fit.

use super::error_columns::{bias, errors, pair};
use super::errors::Errors;
use super::served_left_out::{Group, ServedLeftOut};
use warmpath_sheet::{Column, Form, Sheet, Value};

const TITLE: &str = "Served TPOT of vLLM, left out of the fit in turn";

/// A row for each group of measurements; below them, what the constants are without each model or device.
pub fn sheet(found: &ServedLeftOut) -> Sheet {
    let form = form();
    let mut sheet = form.sheet(TITLE).labels(1);
    found.groups.iter().for_each(|group| sheet.push(form.row(group)));
    for constant in &found.constants {
        let without = constant.without.iter();
        let without: String =
            without.map(|(name, value)| format!("; without {name} {value:.2}")).collect();
        let (name, shipped, fitted) = (&constant.name, constant.shipped, constant.fitted);
        sheet.note(format!("{name}: shipped {shipped:.2}, fitted here {fitted:.2}{without}"));
    }
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet(format!("Fidelity: {}", TITLE.to_lowercase()))
}

fn form() -> Form<'static, Group> {
    let signed = |errors: Option<&Errors>| Value::or_blank(errors.map(|one| one.bias_percent));
    let shipped = "Error of the constants as shipped: median and p95.";
    let fitted = "Error of constants fitted to all rows, these included: median and p95.";
    let model = "Error of constants fitted without the rows of the same model: median and p95.";
    let device = "Error of constants fitted without the rows of the same device: median and p95.";
    Form::new([
        Column::text("of", "", "Whose rows these are.").of(|one: &Group| one.what.clone()),
        Column::number("rows", "rows", "rows", "Measurements of TPOT.")
            .of(|one: &Group| one.shipped.rows),
        errors("shipped", "shipped", shipped).of(|one: &Group| pair(Some(&one.shipped))),
        bias("shipped_bias", "Median error with its sign, as shipped.")
            .of(move |one: &Group| signed(Some(&one.shipped))),
        errors("fitted", "fitted here", fitted).of(|one: &Group| pair(Some(&one.fitted))),
        errors("model_left_out", "model out", model)
            .of(|one: &Group| pair(one.model_left_out.as_ref())),
        bias("model_left_out_bias", "Median error with its sign, without the model.")
            .of(move |one: &Group| signed(one.model_left_out.as_ref())),
        errors("device_left_out", "device out", device)
            .of(|one: &Group| pair(one.device_left_out.as_ref())),
        bias("device_left_out_bias", "Median error with its sign, without the device.")
            .of(move |one: &Group| signed(one.device_left_out.as_ref())),
    ])
}
