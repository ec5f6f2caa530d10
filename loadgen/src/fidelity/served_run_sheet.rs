//! A served run: its steps with the sequences they had, and its requests from their arrivals.

use super::error_columns::{bias, errors, pair};
use super::served_run::{Figure, Kind, ServedRun};
use warmpath_sheet::{Column, Form, Format, Sheet, Style};

/// The steps by kind, then the figures of the whole run.
pub fn sheets(run: &ServedRun) -> [Sheet; 2] {
    let title = "A served run's steps, with the sequences they had";
    let form = kind_form();
    let mut kinds = form.sheet(format!("{title} ({}):", run.profile));
    run.kinds.iter().for_each(|kind| kinds.push(form.row(kind)));
    let form = figure_form();
    let mut figures = form.sheet("The same requests through the engine here, from their arrivals:");
    run.figures.iter().for_each(|figure| figures.push(form.row(figure)));
    [kinds, figures]
}

/// The sheets without rows, with every column that they can have.
pub fn blanks() -> [Sheet; 2] {
    [
        kind_form().sheet("Fidelity: steps of a served run"),
        figure_form().sheet("Fidelity: requests of a served run"),
    ]
}

fn kind_form() -> Form<'static, Kind> {
    let number = Column::number;
    let signed = |digits| Format::of(Style::Signed(digits));
    Form::new([
        Column::text("steps", "steps", "Which steps.").of(|kind: &Kind| kind.steps.clone()),
        number("rows", "rows", "steps", "How many there are.").of(|kind: &Kind| kind.errors.rows),
        errors("errors", "error", "Error of a step's time: median and p95.")
            .of(|kind: &Kind| pair(Some(&kind.errors))),
        bias("bias", "Median error with its sign.")
            .format(signed(1))
            .of(|kind: &Kind| kind.errors.bias_percent),
        number("measured_s", "measured s", "s", "The sum of the measured times.")
            .format(Format::digits(2))
            .of(|kind: &Kind| kind.measured_s),
        number("model_s", "model s", "s", "The sum of the model's times.")
            .format(Format::digits(2))
            .of(|kind: &Kind| kind.model_s),
        number("total_error", "total", "%", "The model's sum against the measured one.")
            .format(signed(2).suffix(" %"))
            .of(|kind: &Kind| (kind.model_s / kind.measured_s - 1.0) * 100.0),
    ])
}

fn figure_form() -> Form<'static, Figure> {
    let number = Column::number;
    let unit = "in the unit beside it";
    let off = "The simulated figure against the measured one, or their difference in points.";
    Form::new([
        Column::text("name", "", "What was measured.").of(|figure: &Figure| figure.name),
        number("measured", "measured", unit, "The figure that was measured.")
            .format(Format::digits(3))
            .of(|figure: &Figure| figure.measured),
        number("simulated", "simulated", unit, "The figure that was simulated.")
            .format(Format::digits(3))
            .of(|figure: &Figure| figure.simulated),
        Column::text("unit", "", "The unit of both.").of(|figure: &Figure| figure.unit),
        number("error", "error", "% or points", off)
            .format(Format::of(Style::Signed(1)))
            .of(|figure: &Figure| figure.error),
        number("at_most", "at most", "% or points", "The most that it may be off.")
            .of(|figure: &Figure| figure.at_most),
        Column::text("verdict", "", "Whether it is within that.").of(|figure: &Figure| {
            if figure.error.abs() <= figure.at_most { "met" } else { "MISSED" }
        }),
    ])
}
