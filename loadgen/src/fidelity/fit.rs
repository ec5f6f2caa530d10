//! Fits a device's constants: first to single kernels, then from there to whole steps.

use crate::fidelity::params::{Field, Freedom, Param, start};
use crate::fidelity::reference::{KernelRow, Known, StepRow, kv_dtype, precision};
use crate::fidelity::solve::least_squares;
use std::collections::{BTreeMap, BTreeSet};
use warmpath_core::engine::physics::{
    Device, Experts, Kernel, Model, Physics, Placement, Precision,
};
use warmpath_core::engine::profile::StepShape;

/// Errors below this share of a time are squared. Larger ones count linearly, so that an odd kernel
/// does not distort the others.
const SCALE: f64 = 0.05;
/// There are many kernels, and each says little.
const KERNEL_WEIGHT: f64 = 0.35;

/// A measured step, with its device, model and shape.
#[derive(Clone, Debug)]
pub struct Step {
    pub device: String,
    pub model: String,
    pub placement: Placement,
    pub shape: StepShape,
    pub row: StepRow,
}

impl Step {
    /// None: the device, model or format is unknown. Such rows are counted.
    pub fn understand(row: &StepRow, known: &mut Known) -> Option<Self> {
        let device = known.device(&row.gpu);
        let model = known.model(&row.model);
        let (device, model) = (device?, model?);
        let mut no = |what: String| {
            *known.unknown.entry(what).or_default() += 1;
        };
        let Some(precision) = precision(&row.precision) else {
            no(format!("precision {}", row.precision));
            return None;
        };
        let Some(kv) = kv_dtype(&row.kv_dtype) else {
            no(format!("KV dtype {}", row.kv_dtype));
            return None;
        };
        let placement = Placement { tp: row.tp.max(1), precision, kv };
        let spec = &known.models[&model];
        let Ok(physics) = Physics::new(&known.devices[&device], spec, placement) else {
            no(format!("{} {} on {}", row.model, row.precision, row.gpu));
            return None;
        };
        let shape = shape(row, physics.window())?;
        Some(Self { device, model, placement, shape, row: row.clone() })
    }

    /// Whether its time was measured, or composed of measured kernels.
    pub fn is_to_be_fitted(&self) -> bool {
        let provenance = self.row.provenance.as_str();
        !(provenance.starts_with("modelled")
            || matches!(provenance, "composed_extrapolated" | "suspect"))
    }
}

/// None: the phase is unknown.
fn shape(row: &StepRow, window: u32) -> Option<StepShape> {
    let mut shape = StepShape::default();
    let prompts = match row.phase.as_str() {
        "prefill" => row.batch,
        "mixed" => 1,
        "decode" => 0,
        _ => return None,
    };
    for _ in 0..prompts {
        shape.add_prompt(row.input_len, row.prefix_len, window);
    }
    if row.phase != "prefill" {
        for _ in 0..row.batch {
            shape.add_decode(row.context, window);
        }
    }
    Some(shape)
}

/// A measured kernel.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub kernel: Kernel,
    pub ms: f64,
}

impl Timed {
    pub fn understand(row: &KernelRow) -> Option<Self> {
        let fields: BTreeMap<&str, &str> =
            row.shape.split(';').filter_map(|field| field.split_once('=')).collect();
        let number = |name: &str| fields.get(name)?.parse::<u32>().ok();
        let weights = || match row.dtype.as_str() {
            "bfloat16" | "bf16" => Some(Precision::Bf16),
            "w4a16_mxfp4" => Some(Precision::Mxfp4),
            other => precision(other),
        };
        let kernel = match row.op.as_str() {
            "gemm" => Kernel::Gemm {
                precision: weights()?,
                tokens: row.tokens?,
                input: number("k")?,
                output: number("n")?,
            },
            "attn_prefill" => Kernel::PrefillAttention {
                kv: kv_dtype(&row.kv_dtype)?,
                heads: row.heads?,
                head_size: row.head_dim?,
                batch: row.batch?,
                tokens: row.tokens?,
            },
            "attn_decode" => Kernel::DecodeAttention {
                kv: kv_dtype(&row.kv_dtype)?,
                kv_heads: row.kv_heads?,
                head_size: row.head_dim?,
                batch: row.batch?,
                context: row.context?,
            },
            "moe" => Kernel::Experts {
                precision: weights()?,
                tokens: row.tokens?,
                hidden: number("hidden")?,
                experts: Experts {
                    layers: 1,
                    experts: number("experts")?,
                    per_token: number("topk")?,
                    width: number("inter")?,
                },
                devices: number("ep")?,
            },
            // Engines replay graphs. Eager launches are slower.
            "allreduce" if fields.get("backend").is_some_and(|name| name.ends_with("graph")) => {
                Kernel::AllReduce { bytes: 2.0 * f64::from(number("elements")?) }
            }
            _ => return None,
        };
        Some(Self { kernel, ms: row.ms })
    }
}

/// All measurements of one device.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    pub hardware: &'a Device,
    pub models: &'a BTreeMap<String, Model>,
    pub kernels: &'a [Timed],
}

impl Measured<'_> {
    /// The device with constants fitted to its kernels and then to `steps`.
    pub fn fit(&self, steps: &[&Step]) -> Device {
        let precisions = self.precisions(steps);
        let prior = self.fitted_to_kernels(&precisions);
        let wanted: Vec<f64> = steps.iter().map(|step| step.row.ms).collect();
        let predict = |device: &Device| predict(device, self.models, steps);
        fit(&prior, &Param::all(&precisions), Freedom::Steps, &wanted, 1.0, predict)
    }

    fn precisions(&self, steps: &[&Step]) -> Vec<Precision> {
        let of_steps = steps.iter().map(|step| step.placement.precision);
        let all: BTreeSet<Precision> = of_steps.chain([Precision::Bf16, Precision::Fp8]).collect();
        let peaks = &self.hardware.peak_tflops;
        let has_peak = |precision: &Precision| match precision {
            Precision::Fp8 | Precision::Fp8Block => peaks.fp8.is_some(),
            Precision::Nvfp4 => peaks.fp4.is_some(),
            _ => true,
        };
        all.into_iter().filter(has_peak).collect()
    }

    /// Fits one kind of kernel after the other, since they have no constants in common.
    fn fitted_to_kernels(&self, precisions: &[Precision]) -> Device {
        let mut device = start(self.hardware, precisions);
        let of = |fields: &[Field]| -> Vec<Param> {
            let each = |&precision: &Precision| {
                fields.iter().map(move |&field| Param::Of(precision, field))
            };
            precisions.iter().flat_map(each).collect()
        };
        type Kind = (fn(&Kernel) -> bool, Vec<Param>);
        let kinds: [Kind; 5] = [
            (|kernel| matches!(kernel, Kernel::Gemm { .. }), of(&Field::GEMM)),
            (|kernel| matches!(kernel, Kernel::PrefillAttention { .. }), Param::ATTENTION.into()),
            (|kernel| matches!(kernel, Kernel::DecodeAttention { .. }), Param::ATTENTION.into()),
            (|kernel| matches!(kernel, Kernel::Experts { .. }), of(&Field::MOE)),
            (|kernel| matches!(kernel, Kernel::AllReduce { .. }), Param::REDUCE.into()),
        ];
        for (is_one, params) in kinds {
            let wanted = |timed: &&Timed| {
                is_one(&timed.kernel)
                    && weights(&timed.kernel).is_none_or(|one| precisions.contains(&one))
            };
            let kernels: Vec<&Timed> = self.kernels.iter().filter(wanted).collect();
            let times: Vec<f64> = kernels.iter().map(|timed| timed.ms).collect();
            let predict = |device: &Device| {
                let ms = |timed: &&Timed| timed.kernel.ns(device).map_or(f64::NAN, |ns| ns / 1e6);
                kernels.iter().map(ms).collect()
            };
            device = fit(&device, &params, Freedom::Kernels, &times, KERNEL_WEIGHT, predict);
        }
        self.inherit(&mut device, precisions);
        device
    }

    /// Starts a format without measured products from the nearest family that has some.
    fn inherit(&self, device: &mut Device, precisions: &[Precision]) {
        let is_measured = |precision: Precision| {
            let is_it = |timed: &Timed| {
                matches!(timed.kernel, Kernel::Gemm { .. })
                    && weights(&timed.kernel) == Some(precision)
            };
            self.kernels.iter().any(is_it)
        };
        for &precision in precisions {
            let own = is_measured(precision) || precision == Precision::Fp8Block;
            let Some(from) = precision.stand_in().filter(|_| !own) else { continue };
            if let Some(gemm) = device.precision.get(&from).map(|one| one.gemm.clone())
                && let Some(constants) = device.precision.get_mut(&precision)
            {
                constants.gemm = gemm;
            }
        }
    }
}

const fn weights(kernel: &Kernel) -> Option<Precision> {
    match kernel {
        Kernel::Gemm { precision, .. } | Kernel::Experts { precision, .. } => Some(*precision),
        _ => None,
    }
}

/// The kernel time of each step, in milliseconds.
pub fn predict(device: &Device, models: &BTreeMap<String, Model>, steps: &[&Step]) -> Vec<f64> {
    let mut last: Option<(&str, Placement, Physics)> = None;
    let mut ms = Vec::with_capacity(steps.len());
    for step in steps {
        let fits = |(model, placement, _): &(&str, Placement, Physics)| {
            *model == step.model && *placement == step.placement
        };
        if !last.as_ref().is_some_and(fits) {
            let physics = Physics::new(device, &models[&step.model], step.placement);
            last = physics.ok().map(|physics| (step.model.as_str(), step.placement, physics));
        }
        ms.push(
            last.as_ref()
                .map_or(f64::NAN, |(_, _, physics)| physics.split(&step.shape).total() / 1e6),
        );
    }
    ms
}

fn fit(
    prior: &Device,
    params: &[Param],
    freedom: Freedom,
    wanted: &[f64],
    weight: f64,
    predict: impl Fn(&Device) -> Vec<f64>,
) -> Device {
    let residuals = |device: &Device| -> Vec<f64> {
        let robust = |(ms, wanted): (f64, &f64)| {
            let error = (ms / wanted).ln() / SCALE * weight;
            error.signum() * (2.0 * ((1.0 + error * error).sqrt() - 1.0)).sqrt()
        };
        predict(device).into_iter().zip(wanted).map(robust).collect()
    };
    // A constant that affects none of these rows stays as it is.
    let here = residuals(prior);
    let matters = |param: &Param| {
        let mut moved = prior.clone();
        *param.slot(&mut moved) *= 1.01;
        residuals(&moved) != here
    };
    let params: Vec<Param> = params.iter().copied().filter(matters).collect();
    let apply = |x: &[f64]| {
        let mut device = prior.clone();
        for (param, x) in params.iter().zip(x) {
            *param.slot(&mut device) = x.exp();
        }
        device
    };
    let mut from = prior.clone();
    let start: Vec<f64> = params.iter().map(|param| param.slot(&mut from).ln()).collect();
    let sigma: Vec<f64> = params.iter().map(|param| param.sigma(freedom)).collect();
    apply(&least_squares(&start, &sigma, |x| residuals(&apply(x))))
}
