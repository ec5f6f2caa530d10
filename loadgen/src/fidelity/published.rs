//! Published figures: decode fits, KV transfers, rates on a laptop, and times to compute a prompt.

use crate::fidelity::errors::{Errors, Named};
use crate::fidelity::reference::{
    AnchorRow, Known, OnDeviceRow, Reference, TransferRow, precision,
};
use crate::fidelity::served_case::{Load, play};
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::physics::{Deployment, Joining, KvDtype, Precision};
use warmpath_core::engine::profile::{Profile, StepShape};
use warmpath_launch::profiles;

const LINKS: &str = include_str!("../../../deploy/profiles/links.toml");

/// One figure, published and modelled.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub published: f64,
    pub modelled: f64,
    pub error_percent: f64,
}

#[derive(Debug, Default, Serialize)]
pub struct Published {
    pub decode_anchors: Vec<Figure>,
    /// For steps, their slopes and the times between tokens. Without the TTFTs in the same rows.
    pub decode_anchor_errors: Option<Errors>,
    pub kv_transfers: Vec<Figure>,
    pub kv_transfer_errors: Option<Errors>,
    pub on_device: Vec<Figure>,
    pub recompute: Vec<Figure>,
    pub recompute_errors: Option<Errors>,
    /// Rows that cannot be compared.
    pub left_out: Vec<String>,
}

impl Figure {
    fn new(name: impl Into<String>, unit: &'static str, published: f64, modelled: f64) -> Self {
        let error_percent = (modelled / published - 1.0) * 100.0;
        Self { name: name.into(), unit, published, modelled, error_percent }
    }

    fn named(&self) -> Named {
        (self.name.clone(), self.error_percent / 100.0)
    }
}

pub fn evaluate(reference: &Reference, known: &mut Known) -> Published {
    let mut all = Published::default();
    let mut load = None;
    for row in &reference.anchors {
        match anchor(row, known, &mut load) {
            Ok(figures) => all.decode_anchors.extend(figures),
            Err(why) => all.left_out.push(format!("decode anchor: {why}")),
        }
    }
    let links: Links = toml::from_str(LINKS).expect("the links that come with the program");
    for row in &reference.transfers {
        match transfer(row, &links.link) {
            Ok(figure) => all.kv_transfers.push(figure),
            Err(why) => all.left_out.push(format!("KV transfer: {why}")),
        }
    }
    for row in &reference.on_device {
        match on_device(row, known) {
            Ok(figures) => all.on_device.extend(figures),
            Err(why) => all.left_out.push(format!("on-device: {why}")),
        }
    }
    for row in &reference.break_even {
        let name =
            format!("{} {} {} tp{} {}", row.gpu, row.model, row.precision, row.tp, row.tokens);
        let deployment = precision(&row.precision)
            .ok_or_else(|| format!("precision {}", row.precision))
            .map(|precision| deployment(row.tp, precision, KvDtype::Bf16));
        let profile =
            deployment.and_then(|deployment| build(&row.gpu, &row.model, &deployment, known));
        match profile {
            Ok(profile) => {
                let ms = prefill_ms(&profile, row.tokens);
                all.recompute.push(Figure::new(name, "ms", row.recompute_ms, ms));
            }
            Err(why) => all.left_out.push(format!("time to recompute: {why}")),
        }
    }
    let errors =
        |figures: &[Figure]| Errors::of(&figures.iter().map(Figure::named).collect::<Vec<_>>());
    let decode = all.decode_anchors.iter().filter(|figure| !figure.name.contains("TTFT"));
    all.decode_anchor_errors = Errors::of(&decode.map(Figure::named).collect::<Vec<_>>());
    all.kv_transfer_errors = errors(&all.kv_transfers);
    all.recompute_errors = errors(&all.recompute);
    all
}

/// With unlimited memory, since the measured case did fit.
fn deployment(tp: u32, precision: Precision, kv_dtype: KvDtype) -> Deployment {
    Deployment {
        name: "published".into(),
        hbm_tokens: Some(64 << 20),
        ..Deployment::new(tp, precision, kv_dtype)
    }
}

fn build(
    device: &str,
    model: &str,
    deployment: &Deployment,
    known: &mut Known,
) -> Result<Profile, String> {
    let device = known.device(device).ok_or_else(|| format!("unknown device {device}"))?;
    let model = known.model(model).ok_or_else(|| format!("unknown model {model}"))?;
    Profile::build(&known.devices[&device], &known.models[&model], deployment)
        .map_err(|error| format!("{model} on {device}: {error}"))
}

fn decode_ms(profile: &Profile, context: u32) -> f64 {
    let mut shape = StepShape::default();
    shape.add_decode(context, profile.step.window());
    profile.step.ns(&shape) / 1e6
}

fn prefill_ms(profile: &Profile, tokens: u32) -> f64 {
    let (mut ms, mut done) = (0.0, 0);
    while done < tokens {
        let chunk = (tokens - done).min(profile.max_num_batched_tokens);
        let mut shape = StepShape::default();
        shape.add_prompt(chunk, done, profile.step.window());
        let prompt_tokens = if done == 0 { u64::from(tokens) } else { 0 };
        let joining = Joining { requests: u32::from(done == 0), prompt_tokens };
        let step = profile.step.calibrated().expect("it was built from a device");
        ms += step.idle_ns(&shape, joining) / 1e6;
        done += chunk;
    }
    ms
}

/// `load` is the load of the last row of that kind, for rows that say "same".
fn anchor(
    row: &AnchorRow,
    known: &mut Known,
    load: &mut Option<Load>,
) -> Result<Vec<Figure>, String> {
    let kv = if row.precision.contains("fp8 kv") { KvDtype::Fp8 } else { KvDtype::Bf16 };
    let weights = row.precision.split_whitespace().next().unwrap_or_default();
    let weights = precision(weights).ok_or_else(|| format!("precision {}", row.precision))?;
    let profile = build(&row.gpu, &row.model, &deployment(row.tp, weights, kv), known)?;
    let name = format!("{} {} {}", row.gpu, row.model, row.precision);
    let numbers = numbers(&row.value);
    let expected = |what: &str| format!("{name}: '{}', expected {what}", row.value);
    if row.kind == "decode_fit" {
        let [base, each, ..] = numbers[..] else { return Err(expected("base + slope")) };
        let slope = (decode_ms(&profile, 33_000) - decode_ms(&profile, 1_000)) / 32_000.0;
        let modelled = decode_ms(&profile, 1_000) - 1_000.0 * slope;
        return Ok(vec![
            Figure::new(format!("{name}: step"), "ms", base, modelled),
            Figure::new(format!("{name}: each 1k of context"), "ms", each * 1e3, slope * 1e3),
        ]);
    }
    let figures = if row.value.starts_with("same") { 0 } else { 4 };
    if let [concurrency, requests, prompt, answer] = numbers[..figures] {
        *load = Some(Load {
            concurrency: concurrency as u32,
            requests: requests as u32,
            // The text says "about", so lengths are spread and answers do not all end at once.
            longest_prompt: (prompt * 1e3 / 0.9) as u32,
            longest_answer: (answer * 1e3 / 0.9) as u32,
            shortest: 0.8,
        });
    }
    let (Some(load), [ttft, itl, ..]) = (*load, &numbers[figures..]) else {
        return Err(expected("a load, and its TTFT and ITL"));
    };
    let got = play(&profile, load);
    Ok(vec![
        Figure::new(
            format!("{name}: ITL at {} requests at once", load.concurrency),
            "ms",
            *itl,
            got.tpot_ms,
        ),
        Figure::new(format!("{name}: TTFT at the same"), "ms", *ttft, got.ttft_ms),
    ])
}

/// The numbers in a text, in order. A word counts if it begins with a digit: "20k" is 20, "p50" is
/// none.
fn numbers(text: &str) -> Vec<f64> {
    let number = |word: &str| {
        let word = word.trim_start_matches('~');
        let is_part = |c: &char| c.is_ascii_digit() || matches!(c, '.' | 'e' | '-');
        let digits: String = word.chars().take_while(is_part).collect();
        digits.trim_end_matches(['.', 'e', '-']).parse().ok()
    };
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ':')).filter_map(number).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Links {
    link: Vec<Link>,
}

/// A link that moves KV cache, and its speed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    #[allow(dead_code)] // For the reader of the file.
    name: String,
    /// The start of the path in rows of measurements.
    path: String,
    /// A part of the hardware in rows of measurements.
    hardware: Option<String>,
    nominal_gb_s: f64,
    efficiency: f64,
    #[serde(default)]
    latency_ms: f64,
    bytes_per_token: Option<f64>,
}

fn transfer(row: &TransferRow, links: &[Link]) -> Result<Figure, String> {
    let is_it = |link: &&Link| {
        let hardware = link.hardware.as_deref().is_none_or(|name| row.hardware.contains(name));
        row.path.starts_with(&link.path) && hardware
    };
    // The longest matching name: "p5en" before "p5".
    let link = links.iter().filter(is_it).max_by_key(|link| link.path.len());
    let link = link.ok_or_else(|| format!("no link like '{}'", row.path))?;
    let gb_s = link.nominal_gb_s * link.efficiency;
    let Some(ms) = row.transfer_ms else {
        let published =
            row.gb_s.ok_or_else(|| format!("'{}' has no time and no rate", row.path))?;
        return Ok(Figure::new(&row.path, "GB/s", published, gb_s));
    };
    let tokens = row.tokens.unwrap_or(0.0);
    let bytes = match (link.bytes_per_token, bytes_per_token(row), row.kv_gb) {
        (Some(each), ..) | (None, Some(each), _) => each * tokens,
        (None, None, Some(gb)) => gb * 1e9,
        _ => return Err(format!("'{}' has no size", row.path)),
    };
    let modelled = link.latency_ms + bytes / (gb_s * 1e6);
    Ok(Figure::new(format!("{} {} {tokens} tokens", row.path, row.model), "ms", ms, modelled))
}

/// From the model, if it is known. These transfers go from eight devices to eight.
fn bytes_per_token(row: &TransferRow) -> Option<f64> {
    let name = row.model.split_whitespace().next()?;
    let model = profiles::model(name, Path::new("")).ok()?;
    Some(model.growing_bytes_per_token(KvDtype::Bf16, 8))
}

fn on_device(row: &OnDeviceRow, known: &mut Known) -> Result<Vec<Figure>, String> {
    let precision = match row.model.to_ascii_lowercase() {
        name if name.ends_with("4bit") || name.ends_with("q4_0") => Precision::Int4,
        name if name.ends_with("8bit") => Precision::Int8,
        _ => return Err(format!("{}: format not modelled", row.model)),
    };
    let mut deployment = deployment(1, precision, KvDtype::Bf16);
    deployment.max_num_batched_tokens = 2048;
    let profile = build(&row.device, &row.model, &deployment, known)?;
    let name = format!("{} {}", row.device, row.model);
    let mut figures = Vec::new();
    if let (Some(rate), Some(tokens)) = (row.prefill_tok_s, row.prompt_tokens) {
        let modelled = 1e3 * f64::from(tokens) / prefill_ms(&profile, tokens);
        figures.push(Figure::new(format!("{name}: prefill of {tokens}"), "tok/s", rate, modelled));
    }
    if let Some(rate) = row.decode_tok_s {
        let modelled = 1e3 / decode_ms(&profile, row.prompt_tokens.unwrap_or(512));
        figures.push(Figure::new(format!("{name}: decode"), "tok/s", rate, modelled));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_prose() {
        assert_eq!(numbers("ITL = 6.44 ms + 4.37e-5 ms x context, batch 1"), [6.44, 4.37e-5, 1.0]);
        let load = "conc 8, 150 req, ~20k in ~2k out: TTFT p50 763.6 ms, ITL p50 15.18 ms";
        assert_eq!(numbers(load), [8.0, 150.0, 20.0, 2.0, 763.6, 15.18]);
    }

    #[test]
    fn every_link_can_be_read() {
        let links: Links = toml::from_str(LINKS).unwrap();
        assert!(links.link.iter().all(|link| link.nominal_gb_s > 0.0 && link.efficiency <= 1.0));
    }
}
