//! Published figures beside those of the model.

use super::published::Figure;
use warmpath_sheet::{Column, Form, Format, Sheet, Style};

pub fn sheet(title: &str, figures: &[Figure]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet(format!("{title}:"));
    figures.iter().for_each(|figure| sheet.push(form.row(figure)));
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Fidelity: published figures")
}

fn form() -> Form<'static, Figure> {
    let digits = Format::digits(4);
    let unit = "in the unit beside it";
    Form::new([
        Column::text("name", "", "What was measured.").of(|figure: &Figure| figure.name.clone()),
        Column::number("published", "published", unit, "The figure that was published.")
            .format(digits)
            .of(|figure: &Figure| figure.published),
        Column::number("modelled", "modelled", unit, "The model's figure.")
            .format(digits)
            .of(|figure: &Figure| figure.modelled),
        Column::text("unit", "", "The unit of both.").right().of(|figure: &Figure| figure.unit),
        Column::number(
            "error_percent",
            "error",
            "%",
            "The model's figure against the published one.",
        )
        .format(Format::of(Style::Signed(1)).suffix(" %"))
        .of(|figure: &Figure| figure.error_percent),
    ])
}
