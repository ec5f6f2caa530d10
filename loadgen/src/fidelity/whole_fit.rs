//! Constants of a running engine, fitted to whole steps; and how well they predict steps that were left
//! out of the fit.

use crate::fidelity::errors::Errors;
use crate::fidelity::reference::Known;
use crate::fidelity::solve::least_squares;
use crate::fidelity::whole::{Whole, errors, named};
use crate::play::parallel;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use warmpath_core::engine::physics::{Device, Host, InEngine, Model, Precision};

/// Errors below this share of a time are squared, larger ones count in proportion.
const SCALE: f64 = 0.03;
/// Decode steps are measured forty times, prompts a few.
const DECODE_WEIGHT: f64 = 3.0;

/// A constant that whole steps tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Param {
    AttentionCompute,
    AttentionBandwidth,
    ProductsCompute(Precision),
    ProductsBandwidth(Precision),
    Layer(Precision),
    PerSequence,
    Lead,
    LeadPerToken,
    Pieces,
}

impl Param {
    /// For steps of this format. What is common to all formats is fitted with the one that has the most.
    pub fn all(precision: Precision, is_first: bool) -> Vec<Self> {
        let own = [
            Self::ProductsCompute(precision),
            Self::ProductsBandwidth(precision),
            Self::Layer(precision),
        ];
        let common = [
            Self::AttentionCompute,
            Self::AttentionBandwidth,
            Self::PerSequence,
            Self::Lead,
            Self::LeadPerToken,
            Self::Pieces,
        ];
        own.into_iter().chain(common.into_iter().filter(|_| is_first)).collect()
    }

    pub fn name(self) -> String {
        match self {
            Self::AttentionCompute => "in_engine.attention_compute".into(),
            Self::AttentionBandwidth => "in_engine.attention_bandwidth".into(),
            Self::ProductsCompute(one) => format!("in_engine.precision.{one}.products_compute"),
            Self::ProductsBandwidth(one) => format!("in_engine.precision.{one}.products_bandwidth"),
            Self::Layer(one) => format!("in_engine.precision.{one}.layer_us"),
            Self::PerSequence => "host.per_sequence_us".into(),
            Self::Lead => "host.lead_ms".into(),
            Self::LeadPerToken => "host.lead_per_1k_tokens_ms".into(),
            Self::Pieces => "host.pieces_ms".into(),
        }
    }

    pub fn slot(self, device: &mut Device) -> &mut f64 {
        let Device { in_engine, host, .. } = device;
        match self {
            Self::AttentionCompute => &mut in_engine.attention_compute,
            Self::AttentionBandwidth => &mut in_engine.attention_bandwidth,
            Self::ProductsCompute(one) => {
                &mut in_engine.precision.entry(one).or_default().products_compute
            }
            Self::ProductsBandwidth(one) => {
                &mut in_engine.precision.entry(one).or_default().products_bandwidth
            }
            Self::Layer(one) => &mut in_engine.precision.entry(one).or_default().layer_us,
            Self::PerSequence => &mut host.per_sequence_us,
            Self::Lead => &mut host.lead_ms,
            Self::LeadPerToken => &mut host.lead_per_1k_tokens_ms,
            Self::Pieces => &mut host.pieces_ms,
        }
    }

    /// How far a fit may carry it: in microseconds for a layer, else as a share.
    const fn sigma(self) -> f64 {
        match self {
            Self::Layer(_) => 10.0,
            Self::ProductsBandwidth(_) | Self::AttentionBandwidth => 0.1,
            Self::AttentionCompute | Self::ProductsCompute(_) => 0.2,
            Self::PerSequence | Self::Lead | Self::LeadPerToken | Self::Pieces => 1.0,
        }
    }

    const fn is_a_share(self) -> bool {
        !matches!(self, Self::Layer(_))
    }
}

/// A device whose kernels are known and whose engine is not.
fn start(device: &Device) -> Device {
    let in_engine = InEngine { waiting: device.in_engine.waiting, ..InEngine::default() };
    // A step of no length could not be scaled; what a device's own file has of the host is kept.
    let host = if device.host.step_ms > 0.0 { device.host.clone() } else { Host::default() };
    Device { in_engine, host, ..device.clone() }
}

/// Constants for whole steps of one device.
pub fn fit(device: &Device, models: &BTreeMap<String, Model>, rows: &[&Whole]) -> Device {
    let mut counts: BTreeMap<Precision, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.placement.precision).or_default() += 1;
    }
    let mut formats: Vec<Precision> = counts.keys().copied().collect();
    formats.sort_by_key(|format| std::cmp::Reverse(counts[format]));
    let mut fitted = start(device);
    for (i, &format) in formats.iter().enumerate() {
        let own: Vec<&Whole> =
            rows.iter().copied().filter(|row| row.placement.precision == format).collect();
        fitted = fit_to(&fitted, &Param::all(format, i == 0), models, &own);
    }
    fitted
}

fn fit_to(
    from: &Device,
    params: &[Param],
    models: &BTreeMap<String, Model>,
    rows: &[&Whole],
) -> Device {
    let mut scratch = from.clone();
    let start: Vec<f64> = params
        .iter()
        .map(|param| {
            let value = *param.slot(&mut scratch);
            if param.is_a_share() { value.max(1e-6).ln() } else { value }
        })
        .collect();
    let sigma: Vec<f64> = params.iter().map(|param| param.sigma()).collect();
    let apply = |x: &[f64]| {
        let mut device = from.clone();
        for (param, x) in params.iter().zip(x) {
            *param.slot(&mut device) = if param.is_a_share() { x.exp() } else { *x };
        }
        device
    };
    let Some(first) = rows.first() else { return from.clone() };
    let residuals = |x: &[f64]| -> Vec<f64> {
        let devices = BTreeMap::from([(first.device.clone(), apply(x))]);
        let robust = |(row, error): (&Whole, f64)| {
            let weight = if row.row.phase == "decode" { DECODE_WEIGHT } else { 1.0 };
            let error = (1.0 + error).ln() / SCALE * weight;
            error.signum() * (2.0 * ((1.0 + error * error).sqrt() - 1.0)).sqrt()
        };
        errors(rows.iter().copied(), &devices, models).into_iter().map(robust).collect()
    };
    apply(&least_squares(&start, &sigma, residuals))
}

/// How well steps are predicted that were left out of the fit.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    pub device: String,
    /// Its name, or "all": those of the device together.
    pub model: String,
    pub phase: String,
    /// What was left out in turn: all steps of one prefix, for example.
    pub by: String,
    pub errors: Errors,
}

type Field = (&'static str, &'static str, fn(&Whole) -> u32);

/// Of which phase what is left out in turn.
const FIELDS: [Field; 4] = [
    ("prefill", "a prefix", |row| row.row.prefix_len),
    ("prefill", "a length", |row| row.row.input_len),
    ("decode", "a batch", |row| row.row.batch),
    ("decode", "a context", |row| row.row.context),
];

pub fn left_out(rows: &[Whole], known: &Known) -> Vec<LeftOut> {
    let devices: BTreeSet<&str> = rows.iter().map(|row| row.device.as_str()).collect();
    let mut jobs = Vec::new();
    for device in devices {
        for (i, (phase, _, field)) in FIELDS.iter().enumerate() {
            let of_phase =
                rows.iter().filter(|row| row.device == device && row.row.phase == *phase);
            let values: BTreeSet<u32> = of_phase.map(field).collect();
            // One value alone leaves nothing to fit to.
            let enough = values.len() > 1;
            jobs.extend(values.into_iter().filter(|_| enough).map(|value| (device, i, value)));
        }
    }
    let found: Vec<Vec<(&Whole, f64)>> = parallel::map(&jobs, |&(device, i, value)| {
        let (phase, _, field) = FIELDS[i];
        let is_out =
            |row: &&Whole| row.device == device && row.row.phase == phase && field(row) == value;
        let fitted_to: Vec<&Whole> =
            rows.iter().filter(|row| row.device == device && !is_out(row)).collect();
        let fitted = fit(&known.devices[device], &known.models, &fitted_to);
        let devices = BTreeMap::from([(device.to_owned(), fitted)]);
        errors(rows.iter().filter(is_out), &devices, &known.models)
    });
    // Each model by itself, and where there are more, all of a device together.
    type Key<'a> = (&'a str, usize, &'a str);
    let mut all: BTreeMap<Key<'_>, Vec<(&Whole, f64)>> = BTreeMap::new();
    for (&(device, i, _), errors) in jobs.iter().zip(found) {
        for error in errors {
            all.entry((device, i, error.0.model.as_str())).or_default().push(error);
            all.entry((device, i, "")).or_default().push(error);
        }
    }
    let line = |((device, i, model), errors): (Key<'_>, Vec<_>)| {
        let model = if model.is_empty() { "all" } else { &known.models[model].name };
        Some(LeftOut {
            device: known.devices[device].name.clone(),
            model: model.to_owned(),
            phase: FIELDS[i].0.to_owned(),
            by: FIELDS[i].1.to_owned(),
            errors: Errors::of(&named(&errors))?,
        })
    };
    all.into_iter().filter_map(line).collect()
}
