//! Whole steps as they were measured on a running engine: host, launching and kernels together.

use crate::fidelity::errors::{Errors, Named};
use crate::fidelity::reference::{Known, StepRow, kv_dtype, precision};
use serde::Serialize;
use std::collections::BTreeMap;
use warmpath_core::engine::physics::{
    Device, FrontEnd, Joining, Launch, Model, Physics, Placement, Precision,
};
use warmpath_core::engine::profile::StepShape;

/// The most tokens of a measured step (`max_num_batched_tokens`).
const CHUNK: u32 = 8192;

/// A measured step, understood.
#[derive(Clone, Debug)]
pub struct Whole {
    pub device: String,
    pub model: String,
    pub placement: Placement,
    pub row: StepRow,
}

/// A line of the table.
#[derive(Debug, Serialize)]
pub struct Line {
    pub device: String,
    pub model: String,
    pub precision: Precision,
    pub tp: u32,
    pub phase: String,
    /// With the constants as they are shipped.
    pub shipped: Errors,
    /// Rows that lie farther off than 5 %, and whether inside what repeats of the row gave.
    pub beyond_5_percent: u32,
    pub of_them_within_repeats: u32,
}

impl Whole {
    /// None for rows whose device, model or format is not known; those are counted.
    pub fn understand(row: &StepRow, known: &mut Known) -> Option<Self> {
        let (device, model) = (known.device(&row.gpu)?, known.model(&row.model)?);
        let placement = precision(&row.precision).zip(kv_dtype(&row.kv_dtype));
        let Some((precision, kv)) = placement else {
            let what = format!("format {} with KV in {}", row.precision, row.kv_dtype);
            *known.unknown.entry(what).or_default() += 1;
            return None;
        };
        let placement = Placement { tp: row.tp.max(1), precision, kv };
        Some(Self { device, model, placement, row: row.clone() })
    }

    /// The physics of the step on this device.
    pub fn physics(&self, device: &Device, model: &Model) -> Option<Physics> {
        let mut device = device.in_engine(self.placement.precision);
        if self.placement.tp > 1 && self.row.devices.is_none_or(|devices| devices == 1) {
            // One device did its part alone: nothing was sent, and it waited for no other.
            device.link_gb_s = Some(1e9);
            device.all_reduce.launch_us = 0.0;
            device.host.tensor_parallel_ms = 0.0;
            device.host.per_sequence_and_device_us = 0.0;
        }
        Physics::new(&device, model, self.placement).ok()
    }

    /// Its time in milliseconds. None for a phase that is not known.
    pub fn ms(&self, physics: &Physics) -> Option<f64> {
        let row = &self.row;
        let ns = match row.phase.as_str() {
            "prefill" if row.input_len > 0 => self.prompts(physics, row.batch.max(1), 0),
            "mixed" if row.input_len > 0 => self.prompts(physics, 1, row.batch),
            // The mean of so many steps, in which the context grew.
            "decode" => {
                let context = row.context + row.repeats.unwrap_or(0) / 2;
                physics.step_ns(&decoding(physics, row.batch, context))
            }
            _ => return None,
        };
        Some(ns / 1e6)
    }

    /// All steps of `prompts` equal prompts, beside so many sequences that decode.
    fn prompts(&self, physics: &Physics, prompts: u32, beside: u32) -> f64 {
        let row = &self.row;
        let context = row.context;
        let front_end = FrontEnd::InProcess.times();
        let prompt_tokens = u64::from(prompts) * u64::from(row.prefix_len + row.input_len);
        let mut joining = Joining { requests: prompts, prompt_tokens };
        // What the device was doing when the step was planned: decoding, or nothing.
        let mut running = match beside {
            0 => None,
            _ => Some(physics.step_ns(&decoding(physics, beside, context))),
        };
        let chunk = (CHUNK.saturating_sub(beside) / prompts).max(1);
        let (mut total, mut done) = (0.0, 0);
        while done < row.input_len {
            let new = (row.input_len - done).min(chunk);
            let mut shape = decoding(physics, beside, context);
            for _ in 0..prompts {
                shape.add_prompt(new, row.prefix_len + done, physics.window());
            }
            let launch = physics.launch(&shape, joining);
            let input = f64::from(joining.requests) * front_end.input_ms * 1e6
                + joining.prompt_tokens as f64 * front_end.input_per_1k_tokens_ms * 1e3;
            let work = physics.step_ns(&shape);
            let span = match running {
                None => launch.run(0.0, work),
                Some(step) => {
                    let called = physics.output_taken() - step + input;
                    // A step counts from the time when the device is free and the step is planned.
                    total -= called.max(0.0);
                    Launch { input: 0.0, ..launch }.run(called, work)
                }
            };
            total += span.start + span.length;
            running = Some(span.length);
            joining = Joining::default();
            done += new;
        }
        total
    }
}

fn decoding(physics: &Physics, batch: u32, context: u32) -> StepShape {
    let mut shape = StepShape::default();
    (0..batch).for_each(|_| shape.add_decode(context, physics.window()));
    shape.unevenness = physics.unevenness(std::iter::repeat_n(context, batch as usize));
    shape
}

/// Errors of all rows, with the constants of `devices`.
pub fn errors<'a>(
    rows: impl IntoIterator<Item = &'a Whole>,
    devices: &BTreeMap<String, Device>,
    models: &BTreeMap<String, Model>,
) -> Vec<(&'a Whole, f64)> {
    let mut last: Option<(&Whole, Physics)> = None;
    let mut errors = Vec::new();
    for row in rows {
        let alike = |(other, _): &(&Whole, Physics)| {
            other.device == row.device
                && other.model == row.model
                && other.placement == row.placement
                && other.row.devices == row.row.devices
        };
        if !last.as_ref().is_some_and(alike) {
            let physics = row.physics(&devices[&row.device], &models[&row.model]);
            last = physics.map(|physics| (row, physics));
        }
        if let Some(ms) = last.as_ref().and_then(|(_, physics)| row.ms(physics)) {
            errors.push((row, ms / row.row.ms - 1.0));
        }
    }
    errors
}

pub fn name(row: &Whole) -> String {
    let step = &row.row;
    let behind =
        if step.prefix_len > 0 { format!(" behind {}", step.prefix_len) } else { String::new() };
    let what = match step.phase.as_str() {
        "decode" => format!("{} x {} tokens of context", step.batch, step.context),
        "mixed" => format!("{}{behind} + {} x {}", step.input_len, step.batch, step.context),
        _ => format!("{} x {}{behind}", step.batch, step.input_len),
    };
    format!("{} {} tp{} {what}", step.model, step.precision, step.tp)
}

pub fn named(errors: &[(&Whole, f64)]) -> Vec<Named> {
    errors.iter().map(|(row, error)| (name(row), *error)).collect()
}

/// One line for each device, model, format and phase.
pub fn lines(rows: &[Whole], known: &Known) -> Vec<Line> {
    type Key<'a> = (&'a str, &'a str, Precision, u32, u8, &'a str);
    let mut groups: BTreeMap<Key<'_>, Vec<(&Whole, f64)>> = BTreeMap::new();
    for (row, error) in errors(rows, &known.devices, &known.models) {
        let Placement { tp, precision, .. } = row.placement;
        let phase = row.row.phase.as_str();
        let order = ["prefill", "decode", "mixed"].iter().position(|one| *one == phase);
        let key = (
            row.device.as_str(),
            row.model.as_str(),
            precision,
            tp,
            order.unwrap_or(9) as u8,
            phase,
        );
        groups.entry(key).or_default().push((row, error));
    }
    let line = |((device, model, precision, tp, _, phase), errors): (Key<'_>, Vec<_>)| {
        let far: Vec<&(&Whole, f64)> =
            errors.iter().filter(|(_, error): &&(&Whole, f64)| error.abs() > 0.05).collect();
        let within = far.iter().filter(|(row, error)| is_within_repeats(&row.row, *error));
        Some(Line {
            device: known.devices[device].name.clone(),
            model: known.models[model].name.clone(),
            precision,
            tp,
            phase: phase.to_owned(),
            shipped: Errors::of(&named(&errors))?,
            beyond_5_percent: far.len() as u32,
            of_them_within_repeats: within.count() as u32,
        })
    };
    groups.into_iter().filter_map(line).collect()
}

/// Whether the step lies between its fastest and its slowest repeat.
fn is_within_repeats(row: &StepRow, error: f64) -> bool {
    let ms = row.ms * (1.0 + error);
    row.low_ms.is_some_and(|low| ms >= low) && row.high_ms.is_some_and(|high| ms <= high)
}
