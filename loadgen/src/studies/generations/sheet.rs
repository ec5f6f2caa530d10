//! A row for each device.

use super::row::{CHIPS, Row};
use crate::setup::Setup;
use warmpath_sheet::{Column, Form, Format, Page, Sheet, Style, Value};

const TABLE: [&str; 10] = [
    "device",
    "precision",
    "tp",
    "tokens_per_s_per_chip",
    "over_first",
    "usd_per_chip_hour",
    "usd_per_m_served",
    "kwh_per_m_served",
    "break_even_usd_per_hour",
    "remark",
];
const DATA: [&str; 8] = [
    "device",
    "precision",
    "tp",
    "validated",
    "usd_per_chip_hour",
    "tokens_per_s_per_chip",
    "usd_per_m_served",
    "kwh_per_m_served",
];

/// What a person reads.
pub fn page(setup: &Setup, rows: &[Row], realization: f64) -> Page {
    let base = rows.first().map_or("", |row| row.device.as_str());
    let title = format!(
        "{}, one model on {CHIPS} chips of each device, seed {}",
        setup.source.name(),
        setup.seed
    );
    let mut sheet = sheet(rows).pick(TABLE).titled(title);
    sheet.note(format!(
        "Tokens served (prompts, computed or reused, and answers) by a chip in a second, at the highest \
         load of which 90 % keep a TTFT of {} s and a TPOT of {} ms. KV lies in HBM alone, shared within a \
         tenant. Chips: of one worker. Unvalidated devices are bands: the default constants \
         (docs/fidelity.md) times {realization}, and whole. Break-even: the price of a chip's hour at which \
         it serves for what {base} does. A dash: no load keeps the SLO at that \
         end of the band, or no price or power is known; --price NAME=USD gives one.",
        setup.slo.ttft_s,
        setup.slo.tpot_s * 1e3
    ));
    let mut page = Page::default();
    page.sheet(sheet);
    page
}

/// What programs read.
pub fn data(rows: &[Row]) -> Sheet {
    sheet(rows).pick(DATA)
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form(None).sheet("Generations: a row for each device")
}

fn sheet(rows: &[Row]) -> Sheet {
    let form = form(rows.first().and_then(|row| row.tokens_per_s_per_chip[1]));
    let mut sheet = form.sheet("");
    rows.iter().for_each(|row| sheet.push(form.row(row)));
    sheet
}

/// `first`: tokens a second of the first device.
fn form(first: Option<f64>) -> Form<'static, Row> {
    let text = Column::text;
    let number = |key, heading, unit, meaning| {
        Column::number(key, heading, unit, meaning).format(Format::of(Style::Amount))
    };
    let tokens = "Prompt and answer tokens served a second by a chip within the SLO.";
    let even = "The price of a chip's hour at which it serves for what the first device does.";
    let by_speed = ["low_speed", "high_speed"];
    let band = |[low, high]: [Option<f64>; 2]| Value::band(low, high);
    let over = move |row: &Row| row.tokens_per_s_per_chip.map(|at| Some(at? / first?));
    Form::new([
        text("device", "device", "The device.").of(|row: &Row| row.device.clone()),
        text("precision", "format", "The number format of the weights.")
            .right()
            .of(|row: &Row| row.precision.to_string()),
        Column::number("tp", "chips", "chips", "Chips of one worker.").of(|row: &Row| row.tp),
        text(
            "validated",
            "validated",
            "Whether the device's times were compared with measurements.",
        )
        .of(|row: &Row| row.validated),
        number(
            "usd_per_chip_hour",
            "USD/h",
            "USD/h",
            "The price of a chip's hour, power included.",
        )
        .of(|row: &Row| row.usd_per_chip_hour),
        number("tokens_per_s_per_chip", "tokens/s/chip", "tokens/s/chip", tokens)
            .format(Format::of(Style::Money))
            .band()
            .of(move |row: &Row| band(row.tokens_per_s_per_chip)),
        number(
            "over_first",
            "over first",
            "ratio",
            "Tokens a second divided by those of the first device.",
        )
        .band()
        .of(move |row: &Row| band(over(row))),
        number(
            "usd_per_m_served",
            "USD/M served",
            "USD/M tokens",
            "Cost of a million prompt and answer tokens.",
        )
        .band_of(by_speed)
        .of(move |row: &Row| band(row.usd_per_m_served)),
        number(
            "kwh_per_m_served",
            "kWh/M",
            "kWh/M tokens",
            "Energy of a million prompt and answer tokens.",
        )
        .band_of(by_speed)
        .of(move |row: &Row| band(row.kwh_per_m_served)),
        number("break_even_usd_per_hour", "break-even USD/h", "USD/h", even)
            .band_of(by_speed)
            .of(move |row: &Row| band(row.break_even_usd_per_hour)),
        text("remark", "", "Says unvalidated where the device was not compared with measurements.")
            .of(|row: &Row| if row.validated { Value::Blank } else { "unvalidated".into() }),
    ])
}
