//! First tokens behind a prefix in host memory.

use super::loading::Loading;
use warmpath_sheet::{Column, Form, Format, Sheet, Style};

/// A row for each measurement.
pub fn sheet(rows: &[Loading]) -> Sheet {
    let form = form();
    let title =
        "First token behind a prefix that lies in host memory, and with the prefix computed again:";
    let mut sheet = form.sheet(title);
    rows.iter().for_each(|row| sheet.push(form.row(row)));
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Fidelity: loading from host memory")
}

fn form() -> Form<'static, Loading> {
    let ms = |key, heading, meaning| {
        Column::number(key, heading, "ms", meaning).format(Format::digits(1))
    };
    let error = |key, meaning| {
        Column::number(key, "error", "%", meaning).format(Format::of(Style::Signed(1)).suffix(" %"))
    };
    let off = |here: f64, measured: f64| (here / measured - 1.0) * 100.0;
    Form::new([
        Column::number("prefix_tokens", "prefix", "tokens", "Tokens of the prefix.")
            .of(|row: &Loading| row.prefix_tokens),
        ms("from_host_ms", "from host ms", "TTFT with the prefix loaded, measured.")
            .of(|row: &Loading| row.from_host_ms),
        ms("simulated_from_host_ms", "simulated", "TTFT with the prefix loaded, simulated.")
            .of(|row: &Loading| row.simulated_from_host_ms),
        error("from_host_error", "The simulated TTFT against the measured one, loaded.")
            .of(move |row: &Loading| off(row.simulated_from_host_ms, row.from_host_ms)),
        ms("recompute_ms", "computed ms", "TTFT with the prefix computed again, measured.")
            .of(|row: &Loading| row.recompute_ms),
        ms("simulated_recompute_ms", "simulated", "TTFT with it computed again, simulated.")
            .of(|row: &Loading| row.simulated_recompute_ms),
        error("recompute_error", "The simulated TTFT against the measured one, computed.")
            .of(move |row: &Loading| off(row.simulated_recompute_ms, row.recompute_ms)),
    ])
}
