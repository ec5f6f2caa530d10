//! The time of one step: the terms of a device and a model, applied to the step's shape.
//!
//! [`Physics::new`] sums over layers once; after that a step is a few terms. They are roofline
//! models (Williams et al., "Roofline", CACM 2009) with a soft corner and fitted constants
//! (`docs/fidelity.md`). With `T` tokens in the step, peak rate `F` and HBM bandwidth `B`:
//!
//! - matrix products: `smax(2 T K N / (F e_c), (K N w + T (K a + 2 N)) / (B e_m)) + launch` for
//!   each matrix of `K` by `N`, with `w` bytes a weight and `a` an activation. `smax(a, b) =
//!   (a^q + b^q)^(1/q)`: a product computes or reads, whichever takes longer. Converting
//!   activations to a narrower format overlaps with neither and is added.
//! - prefill attention: `4 H d (Q + extra T) / (F e_a)` for `H` heads of width `d` and `Q` pairs of
//!   a new token and one it attends to. `extra` is for whole tiles at the edges.
//! - decode attention: `2 KV d s / (B e_kv)` for each token of context, with `KV` heads and `s`
//!   bytes a number. With latent attention every device reads all of it, and multiplies for at
//!   least [`Device::latent_heads`] heads.
//! - experts: as products. `E (1 - (1 - k / E)^T)` of `E` experts are read if each token uses `k`,
//!   and each token's `k` copies are moved.
//! - all-reduces, two for each layer: `launch + 2 T d / (link e_b)`, with residual width `d`.
//! - elementwise kernels of each layer: `launch + c 2 T (8 d + 3 width) / B`.

use super::constants::{Constants, FrontEnd};
use super::device::Device;
use super::error::BuildError;
use super::model::{Experts, Model, Product, Weights};
use super::precision::{BF16, KvDtype, Precision};
use super::shape::StepShape;

/// How a model is placed on devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Devices in the tensor-parallel group.
    pub tp: u32,
    /// Format of the weights.
    pub precision: Precision,
    /// Format of the KV cache.
    pub kv: KvDtype,
}

/// The terms of a step's time, all in nanoseconds.
#[derive(Clone, PartialEq, Debug)]
pub struct Physics {
    products: Vec<Term>,
    output: Term,
    experts: Option<ExpertTerm>,
    all_reduce: Line,
    elementwise: Line,
    prefill_launch: f64,
    decode_launch: f64,
    pub(super) per_pair: f64,
    pub(super) per_window_pair: f64,
    /// Whole tiles at the edges of prefill attention, for each new token.
    pub(super) edge_per_token: f64,
    pub(super) per_context_token: f64,
    pub(super) per_window_token: f64,
    /// Reading and writing a recurrent state, for each decoding sequence.
    per_decoding: f64,
    pub(super) window: Option<u32>,
    pub(super) host: HostTime,
    pub(super) front_end: FrontEnd,
}

/// A linear function: `fixed + n * each`.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Line {
    pub fixed: f64,
    pub each: f64,
}

impl Line {
    pub fn at(self, n: f64) -> f64 {
        self.fixed + n * self.each
    }
}

/// The time of the serving engine.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct HostTime {
    step: f64,
    after: Line,
}

impl HostTime {
    /// Time of a step with this kernel time and number of sequences. It is a smooth maximum (power
    /// 6) of host time and kernel time, and then the host time after the kernels.
    pub fn with_kernels(&self, kernels: f64, seqs: f64) -> f64 {
        let (low, high) =
            if kernels < self.step { (kernels, self.step) } else { (self.step, kernels) };
        let ratio = low / high;
        let sixth = ratio * ratio * ratio * ratio * ratio * ratio;
        high * libm::cbrt(libm::sqrt(1.0 + sixth)) + self.after(seqs)
    }

    /// Time after the kernels, for this number of sequences.
    pub fn after(&self, seqs: f64) -> f64 {
        self.after.at(seqs)
    }
}

/// A matrix product, in all layers that have it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Term {
    layers: f64,
    compute_per_token: f64,
    traffic: Line,
    sharpness: f64,
    launch: f64,
    single_token: f64,
    /// Converting activations.
    conversion_per_token: f64,
}

/// The layers of experts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct ExpertTerm {
    layers: f64,
    experts: f64,
    per_token: f64,
    compute_per_token: f64,
    read_per_expert: f64,
    copies_per_token: f64,
    launch: f64,
    sharpness: f64,
}

/// The kernel time of a step by kind of kernel, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Split {
    /// Matrix products of layers and output.
    pub products: f64,
    /// Attention of prompt tokens.
    pub prefill_attention: f64,
    /// Attention of decoding sequences.
    pub decode_attention: f64,
    /// Layers of experts.
    pub experts: f64,
    /// All-reduces of a tensor-parallel group.
    pub all_reduces: f64,
    /// Norms, residuals and activations.
    pub elementwise: f64,
}

impl Split {
    /// The sum.
    pub fn total(&self) -> f64 {
        self.products
            + self.prefill_attention
            + self.decode_attention
            + self.experts
            + self.all_reduces
            + self.elementwise
    }
}

/// `(a^q + b^q)^(1/q)`, which is at least the greater of the two.
fn smax(a: f64, b: f64, q: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low <= 0.0 {
        return high;
    }
    high * libm::pow(1.0 + libm::pow(low / high, q), 1.0 / q)
}

impl Term {
    pub fn at(&self, tokens: f64) -> f64 {
        let busy = smax(tokens * self.compute_per_token, self.traffic.at(tokens), self.sharpness);
        let single = if tokens == 1.0 { self.single_token } else { 0.0 };
        self.layers * (busy + self.launch + single + tokens * self.conversion_per_token)
    }
}

impl ExpertTerm {
    pub fn at(&self, tokens: f64) -> f64 {
        let missed = libm::pow(1.0 - self.per_token / self.experts, tokens);
        let read = self.experts * (1.0 - missed) * self.read_per_expert;
        let busy = smax(tokens * self.compute_per_token, read, self.sharpness);
        self.layers * (busy + self.launch + tokens * self.copies_per_token)
    }
}

impl Physics {
    /// The terms of a model on a device.
    ///
    /// # Errors
    /// If the device lacks a peak for the precision, or a link for more than one device.
    pub fn new(device: &Device, model: &Model, placement: Placement) -> Result<Self, BuildError> {
        let Placement { tp, precision, .. } = placement;
        let constants = device.constants(precision);
        let rates = KernelRates { device, constants: &constants, precision };
        let products = model.products(tp);
        let output = Product {
            layers: 1.0,
            input: f64::from(model.hidden),
            output: f64::from(model.vocab) / f64::from(tp),
            weights: Weights::Plain,
        };
        let terms: Result<_, _> = products.iter().map(|product| rates.term(product)).collect();
        let experts = model.experts.map(|one| rates.experts(model.hidden, &one, tp));
        let bytes_per_ns = device.bytes_per_ns();
        let mut physics = Self {
            products: terms?,
            output: rates.term(&output)?,
            experts: experts.transpose()?,
            all_reduce: all_reduce(device, model, tp)?,
            elementwise: elementwise(&constants, model, tp, bytes_per_ns),
            prefill_launch: model.layers() * device.attention.prefill_launch_us * 1e3,
            decode_launch: model.layers() * device.attention.decode_launch_us * 1e3,
            per_pair: 0.0,
            per_window_pair: 0.0,
            edge_per_token: 0.0,
            per_context_token: 0.0,
            per_window_token: 0.0,
            per_decoding: 0.0,
            window: model.window(),
            host: host(device, tp),
            front_end: device.front_end.clone(),
        };
        rates.attention(model, placement, &mut physics)?;
        Ok(physics)
    }

    /// The kernel time of a step, without the serving engine's time.
    pub fn split(&self, shape: &StepShape) -> Split {
        let tokens = f64::from(shape.tokens);
        Split {
            products: self.products(tokens) + self.output(f64::from(shape.seqs)),
            prefill_attention: self.prefill_attention(shape),
            decode_attention: self.decode_attention(shape),
            experts: self.experts.as_ref().map_or(0.0, |experts| experts.at(tokens)),
            all_reduces: self.all_reduce.at(tokens),
            elementwise: self.elementwise.at(tokens),
        }
    }

    fn products(&self, tokens: f64) -> f64 {
        self.products.iter().map(|term| term.at(tokens)).sum()
    }

    /// The time that depends only on the number of tokens.
    pub(super) fn of_tokens(&self, tokens: u32) -> f64 {
        let n = f64::from(tokens);
        let experts = self.experts.as_ref().map_or(0.0, |experts| experts.at(n));
        self.products(n) + experts + self.all_reduce.at(n) + self.elementwise.at(n)
    }

    /// The time of the output layer, for this number of sequences.
    pub(super) fn output(&self, seqs: f64) -> f64 {
        self.output.at(seqs)
    }

    pub(super) fn prefill_attention(&self, shape: &StepShape) -> f64 {
        if shape.prefill_tokens == 0 {
            return 0.0;
        }
        self.prefill_launch
            + shape.pairs * self.per_pair
            + shape.window_pairs * self.per_window_pair
            + f64::from(shape.prefill_tokens) * self.edge_per_token
    }

    fn decode_attention(&self, shape: &StepShape) -> f64 {
        self.decode_launch(shape) + self.reading(shape)
    }

    pub(super) const fn decode_launch(&self, shape: &StepShape) -> f64 {
        if shape.decoding > 0 { self.decode_launch } else { 0.0 }
    }

    /// The time to read the context and the states of decoding sequences.
    pub(super) fn reading(&self, shape: &StepShape) -> f64 {
        shape.context as f64 * self.per_context_token
            + shape.window_context as f64 * self.per_window_token
            + f64::from(shape.decoding) * self.per_decoding
    }

    /// The sliding window in tokens; 0 without such layers.
    pub fn window(&self) -> u32 {
        self.window.unwrap_or(0)
    }

    /// The launch time of prefill attention, in each step with a prompt of any length.
    pub(super) const fn prefill_launch(&self) -> f64 {
        self.prefill_launch
    }
}

/// A device with its constants for one precision.
pub(super) struct KernelRates<'a> {
    pub device: &'a Device,
    pub constants: &'a Constants,
    pub precision: Precision,
}

impl KernelRates<'_> {
    /// The term of a matrix product.
    pub fn term(&self, product: &Product) -> Result<Term, BuildError> {
        let plain;
        let (format, gemm) = match product.weights {
            Weights::Linear => (self.precision.linear(), &self.constants.gemm),
            Weights::Plain => (BF16, &self.constants.gemm),
            Weights::Latent => {
                plain = self.device.constants(Precision::Bf16).gemm;
                (BF16, &plain)
            }
        };
        let flops = self.device.flops_per_ns(format.math, self.precision)?;
        let weights = product.input * product.output * format.weight_bytes;
        let each = product.input * format.activation_bytes + product.output * 2.0;
        let bytes_per_ns = self.device.bytes_per_ns();
        let read_per_ns = bytes_per_ns * gemm.bandwidth;
        let converted =
            if format.activation_bytes < 2.0 { 2.0 + format.activation_bytes } else { 0.0 };
        Ok(Term {
            layers: product.layers,
            compute_per_token: 2.0 * product.input * product.output / (flops * gemm.compute),
            traffic: Line { fixed: weights / read_per_ns, each: each / read_per_ns },
            sharpness: gemm.sharpness,
            launch: gemm.launch_us * 1e3,
            single_token: gemm.single_token_us * 1e3,
            conversion_per_token: gemm.conversion * product.input * converted / bytes_per_ns,
        })
    }

    /// The term of the experts, divided over `devices`.
    pub fn experts(
        &self,
        hidden: u32,
        experts: &Experts,
        devices: u32,
    ) -> Result<ExpertTerm, BuildError> {
        let moe = &self.constants.moe;
        let format = self.precision.experts();
        let flops = self.device.flops_per_ns(format.math, self.precision)?;
        let bytes_per_ns = self.device.bytes_per_ns();
        let (hidden, per_token) = (f64::from(hidden), f64::from(experts.per_token));
        let one = 3.0 * hidden * f64::from(experts.width) / f64::from(devices);
        Ok(ExpertTerm {
            layers: f64::from(experts.layers),
            experts: f64::from(experts.experts),
            per_token,
            compute_per_token: 2.0 * per_token * one / (flops * moe.compute),
            read_per_expert: one * format.weight_bytes / (bytes_per_ns * moe.bandwidth),
            copies_per_token: moe.traffic * 2.0 * per_token * hidden / bytes_per_ns,
            launch: moe.launch_us * 1e3,
            sharpness: moe.sharpness,
        })
    }

    fn attention(
        &self,
        model: &Model,
        placement: Placement,
        physics: &mut Physics,
    ) -> Result<(), BuildError> {
        let Placement { tp, kv, .. } = placement;
        let attention = &self.device.attention;
        let per_kv = self.device.per_kv(kv);
        let flops = self.device.flops_per_ns(BF16.math, self.precision)?;
        let bytes_per_ns = self.device.bytes_per_ns() * per_kv.bandwidth;
        let extra = attention.extra_keys;
        for group in model.attention.iter().chain(&model.windowed) {
            let narrow = if group.head_size <= 64 { attention.narrow_heads } else { 1.0 };
            let layers = f64::from(group.layers);
            let width = f64::from(group.heads) / f64::from(tp) * f64::from(group.head_size);
            let pair = layers * 4.0 * width / (flops * per_kv.compute * narrow);
            let read = layers * group.kv_bytes_each(kv, tp) / bytes_per_ns;
            physics.edge_per_token += extra * pair;
            if group.window.is_some() {
                (physics.per_window_pair, physics.per_window_token) = (pair, read);
            } else {
                physics.per_pair += pair;
                physics.per_context_token += read;
            }
        }
        if let Some(latent) = &model.latent {
            let layers = f64::from(latent.layers);
            let heads = f64::from(latent.heads) / f64::from(tp);
            let key = f64::from(latent.nope_size + latent.rope_size);
            let size = key + f64::from(latent.value_size);
            let pair = layers * 2.0 * heads * size / (flops * per_kv.compute);
            physics.per_pair += pair;
            physics.edge_per_token += extra * pair;
            let computed = heads.max(f64::from(self.device.latent_heads));
            let ranks = f64::from(latent.kv_rank * 2 + latent.rope_size);
            let multiply = 2.0 * computed * ranks / (flops * attention.latent_compute);
            let read = latent.kv_bytes(kv) / bytes_per_ns;
            physics.per_context_token += layers * multiply.max(read);
        }
        // A state is read and written in each step.
        let state = 2.0 * model.state_bytes() / f64::from(tp);
        physics.per_decoding = state / (self.device.bytes_per_ns() * attention.bf16.bandwidth);
        Ok(())
    }
}

fn all_reduce(device: &Device, model: &Model, tp: u32) -> Result<Line, BuildError> {
    if tp == 1 {
        return Ok(Line::default());
    }
    let link = device.link_gb_s.ok_or_else(|| {
        BuildError::new("tp", format!("{tp}, expected 1: device {} has no link_gb_s", device.name))
    })?;
    let each = 2.0 * model.layers();
    let per_token = 2.0 * f64::from(model.hidden) / (link * device.all_reduce.efficiency);
    Ok(Line { fixed: each * device.all_reduce.launch_us * 1e3, each: each * per_token })
}

fn elementwise(constants: &Constants, model: &Model, tp: u32, bytes_per_ns: f64) -> Line {
    let norms = 8.0 * f64::from(model.hidden) * model.layers();
    let dense = model.dense.iter().map(|one| f64::from(one.layers) * f64::from(one.width));
    let state = model.recurrent.map(|one| f64::from(one.layers) * f64::from(one.width));
    let widths: f64 = dense.chain(state).sum::<f64>() * 3.0 / f64::from(tp);
    Line {
        fixed: model.layers() * constants.elementwise.launch_us * 1e3,
        each: constants.elementwise.traffic * 2.0 * (norms + widths) / bytes_per_ns,
    }
}

/// The serving engine's time during and after the kernels.
fn host(device: &Device, tp: u32) -> HostTime {
    let group = if tp > 1 { device.host.tensor_parallel_ms } else { 0.0 };
    HostTime {
        step: device.host.step_ms * 1e6,
        after: Line { fixed: group * 1e6, each: device.host.per_sequence_us * 1e3 },
    }
}
