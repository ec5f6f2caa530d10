//! The comparison of devices as a table and as CSV.

use super::row::{CHIPS, Row};
use crate::report::amount;
use crate::report::layout::{align, plain, trimmed};
use crate::setup::Setup;
use std::fmt::Write;

/// One row per device.
pub fn table(setup: &Setup, rows: &[Row], realization: f64) -> String {
    let mut table = plain(&[
        "device",
        "format",
        "chips",
        "tokens/s/chip",
        "over first",
        "USD/h",
        "USD/M served",
        "kWh/M",
        "break-even USD/h",
        "",
    ]);
    let first = rows.first().map_or(0.0, |row| row.tokens_per_s_per_chip[1]);
    for row in rows {
        let band = |ends: [Option<f64>; 2]| match ends {
            [Some(a), Some(b)] if a == b => amount(a),
            [Some(a), Some(b)] => format!("{} to {}", amount(a), amount(b)),
            _ => "-".to_owned(),
        };
        let tokens = row.tokens_per_s_per_chip;
        table.add_row([
            row.device.clone(),
            row.precision.to_string(),
            row.tp.to_string(),
            band(tokens.map(Some)),
            band(tokens.map(|tokens| (first > 0.0).then(|| tokens / first))),
            row.usd_per_chip_hour.map_or_else(|| "-".to_owned(), amount),
            band(row.usd_per_m_served),
            band(row.kwh_per_m_served),
            band(row.break_even_usd_per_hour),
            if row.validated { String::new() } else { "unvalidated".to_owned() },
        ]);
    }
    align(&mut table, 1);
    let base = rows.first().map_or("", |row| row.device.as_str());
    format!(
        "{}, one model on {CHIPS} chips of each device, seed {}\n\n{}Tokens served (prompts, computed or reused, and \
         answers) by a chip in a second, at the highest load of which 90 % keep a TTFT of {} s and a TPOT of {} ms. \
         KV lies in HBM alone, shared within a tenant. Chips: of one worker. Unvalidated devices are bands: the \
         default constants (docs/fidelity.md) times {realization}, and whole. Break-even: the price of a chip's hour at which it serves \
         for what {base} does. A dash: no price or power is known; --price NAME=USD gives one.\n",
        setup.source.name(),
        setup.seed,
        trimmed(&table),
        setup.slo.ttft_s,
        setup.slo.tpot_s * 1e3
    )
}

/// One row per device.
pub fn csv(rows: &[Row]) -> String {
    let mut text = "device,precision,tp,validated,usd_per_chip_hour,tokens_per_s_per_chip_low,\
                    tokens_per_s_per_chip_high,usd_per_m_served_low_speed,usd_per_m_served_high_speed,\
                    kwh_per_m_served_low_speed,kwh_per_m_served_high_speed\n"
        .to_owned();
    let known = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for row in rows {
        let [low, high] = row.tokens_per_s_per_chip;
        let [usd_low, usd_high] = row.usd_per_m_served.map(known);
        let [kwh_low, kwh_high] = row.kwh_per_m_served.map(known);
        writeln!(
            text,
            "{},{},{},{},{},{low},{high},{usd_low},{usd_high},{kwh_low},{kwh_high}",
            row.device,
            row.precision,
            row.tp,
            row.validated,
            known(row.usd_per_chip_hour)
        )
        .expect("a string takes all");
    }
    text
}
