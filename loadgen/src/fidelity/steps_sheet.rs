//! Errors of engine steps: a row for each device, precision, model and phase.

use super::error_columns::{errors, pair, pair_text, worst};
use super::steps::{Group, Phase, Steps};
use warmpath_sheet::{Column, Form, Sheet};

/// Where step times come from, as the data say it and as a title says it.
const PROVENANCES: [(&str, &str); 6] = [
    ("composed_in_grid", "put together from measured kernels"),
    ("measured", "measured"),
    ("", "measured (no provenance given)"),
    ("composed_extrapolated", "put together, kernels extrapolated"),
    ("modelled_prefix", "another model's prefill behind a cached prefix (never measured)"),
    ("modelled_mixed", "another model's mixed steps"),
];

/// A sheet for each provenance that has rows, with the errors of each phase below it.
pub fn sheets(steps: &Steps) -> Vec<Sheet> {
    let all = PROVENANCES.into_iter().map(|(provenance, what)| {
        let form = form();
        let mut sheet = form.sheet(format!("{what}:")).labels(4);
        for group in steps.groups.iter().filter(|group| group.provenance == provenance) {
            sheet.push(form.row(group));
        }
        if !sheet.is_empty() {
            let totals = steps.totals.iter().filter(|total| total.provenance == provenance);
            totals.for_each(|total| sheet.note(phase(total)));
        }
        sheet
    });
    all.filter(|sheet| !sheet.is_empty()).collect()
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Fidelity: engine steps")
}

fn form() -> Form<'static, Group> {
    let text = Column::text;
    let shipped = "Error of the constants as shipped: median and p95.";
    let fitted = "Error of constants that were fitted to these rows: median and p95.";
    let left_out = "Error of constants that were fitted without this model: median and p95.";
    Form::new([
        text("device", "device", "The device.").of(|group: &Group| group.device.clone()),
        text("precision", "precision", "The number format of the weights.")
            .of(|group: &Group| group.precision.to_string()),
        text("model", "model", "The model.").of(|group: &Group| group.model.clone()),
        text("phase", "phase", "What the steps do: prefill, decode, or both mixed.")
            .of(|group: &Group| group.phase.clone()),
        Column::number("rows", "rows", "rows", "Measurements.")
            .of(|group: &Group| group.shipped.rows),
        errors("shipped", "shipped", shipped).of(|group: &Group| pair(Some(&group.shipped))),
        errors("fitted", "fitted", fitted).of(|group: &Group| pair(Some(&group.fitted))),
        errors("left_out", "left out", left_out).of(|group: &Group| pair(group.left_out.as_ref())),
        text("worst", "worst, shipped", "The largest error as shipped, and the row that has it.")
            .of(|group: &Group| worst(&group.shipped)),
    ])
}

fn phase(total: &Phase) -> String {
    let Phase { phase, shipped, fitted, left_out, .. } = total;
    format!(
        "all {phase}: {} rows; shipped {}, fitted to these rows {}, with the model left out {}",
        shipped.rows,
        pair_text(Some(shipped)),
        pair_text(Some(fitted)),
        pair_text(left_out.as_ref()),
    )
}
