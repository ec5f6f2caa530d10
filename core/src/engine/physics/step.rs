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

mod rates;

use super::balance::Tiles;
use super::constants::Constants;
use super::device::Device;
use super::error::BuildError;
use super::floor::Floor;
use super::host::{Host, Joining, Launch, corner};
use super::model::{Model, Product, Weights};
use super::precision::{KvDtype, Precision};
use super::shape::StepShape;
pub(super) use rates::KernelRates;

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
    /// Keys and values that a prompt's chunk reads, for each token that is there.
    per_prompt_token: f64,
    /// Reading and writing a recurrent state, for each decoding sequence.
    per_decoding: f64,
    pub(super) window: Option<u32>,
    /// How attention spreads over the device; None: evenly.
    pub(super) tiles: Option<Tiles>,
    host: HostTime,
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

/// The host's own time, in nanoseconds, for one model.
#[derive(Clone, PartialEq, Debug)]
struct HostTime {
    /// Whether a step is planned while the one before it runs.
    asynchronous: bool,
    /// The least time between two replayed steps.
    step: f64,
    /// For the sequences of a step, after its kernels.
    after: Line,
    /// To take in a step's output.
    output: f64,
    /// To launch a replayed step.
    replay: f64,
    /// To launch a captured step with a prompt.
    pieces: f64,
    /// To launch a step beyond the captured sizes.
    eager: f64,
    /// From the plan of a step with a prompt to its first kernel.
    lead: f64,
    /// More of it for each prompt token of requests that join.
    lead_per_token: f64,
    /// The most tokens of a captured step.
    captured_tokens: u32,
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
            per_prompt_token: 0.0,
            per_decoding: 0.0,
            window: model.window(),
            tiles: None,
            host: HostTime::new(&device.host, model.layers(), tp),
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

    /// What each token and pair takes at least. The least step is not set.
    pub(super) fn floor(&self) -> Floor {
        let products = self.products.iter();
        let products: f64 = products
            .map(|term| term.layers * (term.compute_per_token + term.conversion_per_token))
            .sum();
        let experts = self.experts.as_ref().map_or(0.0, |experts| {
            experts.layers * (experts.compute_per_token + experts.copies_per_token)
        });
        let others = self.all_reduce.each + self.elementwise.each + self.edge_per_token;
        Floor {
            step: 0.0,
            per_token: products + experts + others,
            per_pair: self.per_pair,
            per_window_pair: self.per_window_pair,
            per_context_token: self.per_context_token,
            window: self.window(),
        }
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

    const fn decode_launch(&self, shape: &StepShape) -> f64 {
        if shape.decoding > 0 { self.decode_launch } else { 0.0 }
    }

    /// The time to read the context and the states of decoding sequences.
    fn reading(&self, shape: &StepShape) -> f64 {
        shape.context as f64 * self.per_context_token
            + shape.window_context as f64 * self.per_window_token
            + f64::from(shape.decoding) * self.per_decoding
    }

    /// What reading grows by with each step, while so many sequences decode and so many of their windows
    /// still fill.
    pub(super) fn growth(&self, decoding: u32, filling: u32, unevenness: f64) -> f64 {
        (f64::from(decoding) * self.per_context_token + f64::from(filling) * self.per_window_token)
            * (1.0 + unevenness)
    }

    /// A step's time on the device, where all that depends on counts alone takes `counted`.
    pub(super) fn whole(&self, counted: f64, shape: &StepShape) -> f64 {
        let counted = counted + self.decode_launch(shape);
        let reading = self.reading(shape) * (1.0 + shape.unevenness);
        let after = self.host.after.at(f64::from(shape.seqs));
        if shape.prefill_tokens == 0 {
            // What reading the context takes is published as a slope, and the host does not hide it.
            return corner(counted, self.host.step) + after + reading;
        }
        let computed = shape.pairs * self.per_pair
            + shape.window_pairs * self.per_window_pair
            + f64::from(shape.prefill_tokens) * self.edge_per_token;
        let read = shape.prompt_context as f64 * self.per_prompt_token;
        let spread = libm::sqrt(computed * computed + read * read) + reading;
        let walk = match &self.tiles {
            Some(tiles) if shape.tokens > self.host.captured_tokens => {
                tiles.walk(shape.chunk, shape.chunk_behind, shape.longest)
            }
            _ => 0.0,
        };
        counted + self.prefill_launch + after + spread.max(walk)
    }

    /// A step's time on the device, in nanoseconds: its kernels and what each sequence adds.
    pub fn step_ns(&self, shape: &StepShape) -> f64 {
        self.whole(self.of_tokens(shape.tokens) + self.output(f64::from(shape.seqs)), shape)
    }

    /// By how much reading these contexts takes longer than if it were spread evenly, as a share.
    pub fn unevenness(&self, contexts: impl Iterator<Item = u32> + Clone) -> f64 {
        self.tiles.map_or(0.0, |tiles| tiles.unevenness(contexts))
    }

    /// The host's part of a step, without what a front end adds.
    pub fn launch(&self, shape: &StepShape, joining: Joining) -> Launch {
        let host = &self.host;
        if shape.prefill_tokens == 0 {
            return Launch { input: 0.0, lead: 0.0, launch: host.replay };
        }
        let lead = host.lead + joining.prompt_tokens as f64 * host.lead_per_token;
        let captured = shape.tokens <= host.captured_tokens;
        Launch { input: 0.0, lead, launch: if captured { host.pieces } else { host.eager } }
    }

    /// From a step's end until its output is taken in, in nanoseconds.
    pub const fn output_taken(&self) -> f64 {
        self.host.output
    }

    /// The host's time before a prompt's first kernel, for each of its tokens.
    pub(super) const fn lead_per_token(&self) -> f64 {
        self.host.lead_per_token
    }

    pub(super) const fn is_asynchronous(&self) -> bool {
        self.host.asynchronous
    }

    /// After every step with so many sequences.
    pub(super) fn after(&self, seqs: f64) -> f64 {
        self.host.after.at(seqs)
    }

    /// So much more for each sequence of a step.
    pub(super) fn add_per_sequence(&mut self, ns: f64) {
        self.host.after.each += ns;
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

impl HostTime {
    fn new(host: &Host, layers: f64, tp: u32) -> Self {
        let others = f64::from(tp - 1);
        let group = if tp > 1 { host.tensor_parallel_ms } else { 0.0 };
        let each = host.per_sequence_us + others * host.per_sequence_and_device_us;
        Self {
            asynchronous: host.asynchronous,
            step: host.step_ms * 1e6,
            after: Line { fixed: group * 1e6, each: each * 1e3 },
            output: host.output_ms * 1e6,
            replay: host.replay_ms * 1e6,
            pieces: host.pieces_ms * 1e6 + layers * host.pieces_layer_us * 1e3,
            eager: layers * host.eager_layer_us * 1e3,
            lead: host.lead_ms * 1e6,
            lead_per_token: host.lead_per_1k_tokens_ms * 1e3,
            captured_tokens: host.captured_tokens,
        }
    }
}
