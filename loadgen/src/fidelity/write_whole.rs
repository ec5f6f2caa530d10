//! A device file with the constants of a running engine, fitted to whole steps.

use crate::fidelity::errors::Errors;
use crate::fidelity::reference::Known;
use crate::fidelity::whole::{Whole, errors, named};
use crate::fidelity::whole_fit::{Param, fit};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use warmpath_core::engine::physics::{Device, Precision};

/// Sections that such a fit writes anew.
const SECTIONS: [&str; 2] = ["[in_engine", "[host]"];

/// Fits, and says what the fit changed. The text of the device's file, and what is to be printed.
pub fn fitted(
    text: &str,
    mark: &str,
    device: &Device,
    rows: &[Whole],
    known: &Known,
) -> (String, String) {
    let all: Vec<&Whole> = rows.iter().collect();
    let fitted = fit(device, &known.models, &all);
    let mut said = format!("{} whole steps.\n", rows.len());
    let formats: BTreeSet<Precision> = rows.iter().map(|row| row.placement.precision).collect();
    let mut after = fitted.clone();
    let mut before = device.clone();
    for (i, &format) in formats.iter().enumerate() {
        for param in Param::all(format, i == 0) {
            let (from, to) = (*param.slot(&mut before), *param.slot(&mut after));
            if (from - to).abs() > 5e-4 * to.abs() {
                let _ = writeln!(said, "{}: {from:.4} -> {to:.4}", param.name());
            }
        }
    }
    for (what, device) in [("before", device), ("fitted", &fitted)] {
        let name = rows.first().map(|row| row.device.clone()).unwrap_or_default();
        let devices = BTreeMap::from([(name, device.clone())]);
        let found = errors(rows, &devices, &known.models);
        for phase in ["prefill", "decode", "mixed"] {
            let of_phase: Vec<(&Whole, f64)> =
                found.iter().filter(|(row, _)| row.row.phase == phase).copied().collect();
            if let Some(errors) = Errors::of(&named(&of_phase)) {
                let Errors { rows, median_percent, p95_percent, worst_percent, worst, .. } = errors;
                let _ = writeln!(
                    said,
                    "{phase}, {what}: {rows} rows, median error {median_percent:.1} %, p95 \
                     {p95_percent:.1} %; worst {worst_percent:+.0} %, {worst}"
                );
            }
        }
    }
    (render(text, mark, &fitted), said)
}

/// The file's own text, with the sections that were fitted in place of those it had.
fn render(text: &str, mark: &str, device: &Device) -> String {
    let (head, tail) =
        text.split_once(mark).map_or((text, None), |(head, tail)| (head, Some(tail)));
    let mut kept = String::new();
    let mut is_cut = false;
    for line in head.lines() {
        if line.starts_with('[') {
            is_cut = SECTIONS.iter().any(|section| line.starts_with(section));
        }
        if !is_cut {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let mut out = format!("{}\n", kept.trim_end());
    out += &table("host", &device.host);
    out += &table("in_engine", &device.in_engine);
    if let Some(tail) = tail {
        out += &format!("\n{mark}{tail}");
    }
    out
}

fn table(name: &str, value: &impl serde::Serialize) -> String {
    let wrapped = BTreeMap::from([(name, value)]);
    format!("\n{}", toml::to_string(&wrapped).expect("numbers and words are TOML"))
}
