//! A worker as a row of numbers.

use crate::engine::physics::{Calibrated, Hardware, Joining, Launch, Standing};
use crate::engine::store::eviction::EvictionRule;
use crate::event::PrefillCost;
use crate::time::Duration;
use serde::{Deserialize, Deserializer, Serialize};

mod hierarchy;

pub use hierarchy::{Fill, Loads, PeerLink, Pieces, PoolLink, TierSpec};

/// The serving engine and the hardware below it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    /// Whether its times were held against measurements. Printed wherever the profile is used.
    pub validated: bool,
    /// Tokens a KV block.
    pub block_size: u32,
    /// Room for KV in HBM, in tokens. None: without limit.
    pub hbm_tokens: Option<u64>,
    pub kv_bytes_per_token: u64,
    /// The most sequences in one step.
    pub max_num_seqs: u32,
    /// The most tokens in one step; a longer prompt is computed in chunks.
    pub max_num_batched_tokens: u32,
    pub step: StepTime,
    /// What leaves HBM first.
    #[serde(default)]
    pub eviction: EvictionRule,
    /// What lies behind HBM and is the worker's own, from near to far.
    #[serde(default, rename = "tier")]
    pub tiers: Vec<TierSpec>,
    /// The way to a pool that the fleet shares; None: the worker uses none.
    #[serde(default)]
    pub pool: Option<PoolLink>,
    /// The way to peers' memory; None: it fetches nothing from them.
    #[serde(default)]
    pub peers: Option<PeerLink>,
}

/// What a step costs.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum StepTime {
    Linear(LinearStep),
    /// From a device, a model and a deployment.
    Calibrated(Calibrated),
}

/// A made-up step time, in a few numbers that can be checked by hand. The shape follows GPUs: weights
/// are read once a step or tokens are multiplied with them, whichever takes longer; prefill attention
/// pays for each pair of tokens; decode attention reads the whole context.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearStep {
    /// Launches and the host's share, each step.
    pub base_ns: f64,
    /// Reading all weights once: the floor of the matrix products.
    pub weights_ns: f64,
    /// Matrix products, for each new token.
    pub ns_per_token: f64,
    /// Prefill attention, for each pair of a new token and one it attends to.
    pub ns_per_pair: f64,
    /// Decode attention, for each token of context that is read.
    pub ns_per_context_token: f64,
    /// Sampling and bookkeeping, for each sequence.
    pub ns_per_seq: f64,
}

/// What one step is made of.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct StepShape {
    /// New tokens, of prompts and of answers.
    pub tokens: u32,
    /// Of these, tokens of prompts.
    pub prefill_tokens: u32,
    /// Pairs of a new prompt token and one it attends to.
    pub pairs: f64,
    /// The same where a token attends to a window.
    pub window_pairs: f64,
    /// Sequences that take part.
    pub seqs: u32,
    /// Of these, sequences that decode.
    pub decoding: u32,
    /// Tokens of context that decoding sequences read.
    pub context: u64,
    /// The same where they read a window.
    pub window_context: u64,
    /// Tokens of prompts that are there at the end of the step: their keys are read.
    pub prompt_context: u64,
    /// The longest chunk of a prompt.
    pub chunk: u32,
    /// How many tokens are there before it.
    pub chunk_behind: u32,
    /// The most tokens that one sequence attends to.
    pub longest: u32,
    /// By how much reading the contexts of decoding sequences takes longer than if it were spread evenly, as
    /// a share.
    pub unevenness: f64,
}

impl StepShape {
    /// Adds `new` tokens of a prompt whose first `before` are computed, for layers with a window of
    /// `window` tokens (0: there are none).
    pub fn add_prompt(&mut self, new: u32, before: u32, window: u32) {
        let (n, p) = (f64::from(new), f64::from(before));
        self.pairs += n * p + n * (n + 1.0) / 2.0;
        // Tokens whose window is not full yet attend to all before them and to themselves.
        let short = f64::from(window.saturating_sub(before).min(new));
        self.window_pairs +=
            short * p + short * (short + 1.0) / 2.0 + (n - short) * f64::from(window);
        self.tokens += new;
        self.prefill_tokens += new;
        self.seqs += 1;
        self.prompt_context += u64::from(before) + u64::from(new);
        self.longest = self.longest.max(before + new);
        if new > self.chunk {
            (self.chunk, self.chunk_behind) = (new, before);
        }
    }

    /// Adds a sequence that decodes and attends to `context` tokens, its own new one included.
    pub fn add_decode(&mut self, context: u32, window: u32) {
        self.tokens += 1;
        self.seqs += 1;
        self.decoding += 1;
        self.context += u64::from(context);
        self.window_context += u64::from(context.min(window));
        self.longest = self.longest.max(context);
    }
}

impl StepTime {
    pub fn ns(&self, shape: &StepShape) -> f64 {
        match self {
            Self::Linear(linear) => linear.ns(shape),
            Self::Calibrated(calibrated) => calibrated.ns(shape),
        }
    }

    /// By how much a step takes longer than the one before, while so many sequences decode, so many of
    /// their windows still fill, and reading them is uneven by such a share.
    pub fn growth_ns(&self, decoding: u32, filling: u32, unevenness: f64) -> f64 {
        match self {
            Self::Linear(linear) => f64::from(decoding) * linear.ns_per_context_token,
            Self::Calibrated(calibrated) => calibrated.growth_ns(decoding, filling, unevenness),
        }
    }

    /// The host's part of a step; None: it has none, and the next step is planned when one ends.
    pub fn launch(&self, shape: &StepShape, joining: Joining) -> Option<Launch> {
        self.calibrated().map(|calibrated| calibrated.launch(shape, joining))
    }

    /// By how much reading these contexts takes longer than if it were spread evenly, as a share.
    pub fn unevenness(&self, contexts: impl Iterator<Item = u32> + Clone) -> f64 {
        self.calibrated().map_or(0.0, |calibrated| calibrated.unevenness(contexts))
    }

    /// Whether contexts may be read unevenly.
    pub fn is_uneven(&self) -> bool {
        self.calibrated().is_some_and(Calibrated::is_uneven)
    }

    /// From a step's end until its output is taken in.
    pub fn output_taken(&self) -> Duration {
        self.calibrated().map_or(Duration::ZERO, Calibrated::output_taken)
    }

    /// Whether a step is planned while the one before it runs.
    pub fn is_asynchronous(&self) -> bool {
        self.calibrated().is_some_and(Calibrated::is_asynchronous)
    }

    /// The window of sliding-window layers in tokens; 0 where there are none.
    pub fn window(&self) -> u32 {
        match self {
            Self::Linear(_) => 0,
            Self::Calibrated(calibrated) => calibrated.window(),
        }
    }

    /// From a request's arrival until it may be admitted.
    pub fn front_end(&self, prompt_tokens: u32) -> Duration {
        match self {
            Self::Linear(_) => Duration::ZERO,
            Self::Calibrated(calibrated) => calibrated.front_end(prompt_tokens),
        }
    }

    pub const fn calibrated(&self) -> Option<&Calibrated> {
        match self {
            Self::Linear(_) => None,
            Self::Calibrated(calibrated) => Some(calibrated),
        }
    }
}

/// Only made-up step times stand in a profile file by themselves.
impl<'de> Deserialize<'de> for StepTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LinearStep::deserialize(deserializer).map(Self::Linear)
    }
}

impl From<LinearStep> for StepTime {
    fn from(linear: LinearStep) -> Self {
        Self::Linear(linear)
    }
}

impl LinearStep {
    fn check(&self) -> Result<(), ProfileError> {
        let times = [
            ("step.base_ns", self.base_ns),
            ("step.weights_ns", self.weights_ns),
            ("step.ns_per_token", self.ns_per_token),
            ("step.ns_per_pair", self.ns_per_pair),
            ("step.ns_per_context_token", self.ns_per_context_token),
            ("step.ns_per_seq", self.ns_per_seq),
        ];
        for (field, value) in times {
            if !(0.0..=1e15).contains(&value) {
                return Err(ProfileError { field, why: format!("{value}, expected 0 or more") });
            }
        }
        if self.base_ns + self.weights_ns < 1.0 {
            let why = "a step must take time: base_ns + weights_ns is below 1".into();
            return Err(ProfileError { field: "step", why });
        }
        Ok(())
    }

    pub fn ns(&self, shape: &StepShape) -> f64 {
        self.base_ns
            + (f64::from(shape.tokens) * self.ns_per_token).max(self.weights_ns)
            + shape.pairs * self.ns_per_pair
            + f64::from(shape.seqs) * self.ns_per_seq
            + shape.context as f64 * self.ns_per_context_token
    }
}

/// A field of a profile that can't be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct ProfileError {
    pub field: &'static str,
    pub why: String,
}

impl Profile {
    pub fn hbm_blocks(&self) -> Option<u64> {
        self.hbm_tokens.map(|tokens| tokens / u64::from(self.block_size))
    }

    /// Bytes of KV in one block.
    pub fn block_bytes(&self) -> f64 {
        self.kv_bytes_per_token as f64 * f64::from(self.block_size)
    }

    /// Sets the tokens of a block, and what follows from it.
    pub fn set_block_size(&mut self, block_size: u32) {
        self.block_size = block_size;
        let Some(calibrated) = self.step.calibrated().filter(|_| block_size > 0) else { return };
        let bytes = calibrated.memory().block_bytes(block_size) / f64::from(block_size);
        self.kv_bytes_per_token = libm::round(bytes) as u64;
        if calibrated.deployment().hbm_tokens.is_none() {
            self.hbm_tokens = Some(calibrated.hbm_tokens(block_size));
        }
    }

    /// The model that it serves; None where its step times are made up for no model in particular.
    pub fn model(&self) -> Option<&str> {
        self.step.calibrated().map(|calibrated| calibrated.model())
    }

    /// What its times rest on.
    pub fn standing(&self) -> Standing {
        match &self.step {
            StepTime::Calibrated(calibrated) => calibrated.standing().clone(),
            StepTime::Linear(_) => Standing {
                validated: self.validated,
                band_percent: None,
                because: "step times are made up".to_owned(),
            },
        }
    }

    /// What it draws and costs, where it was made from a device's row.
    pub fn hardware(&self) -> Option<&Hardware> {
        self.step.calibrated().map(Calibrated::hardware)
    }

    /// Where the room for KV was given: what memory and weights would leave, in tokens.
    pub fn overridden_hbm_tokens(&self) -> Option<u64> {
        let computed = self.step.calibrated()?.hbm_tokens(self.block_size);
        (self.hbm_tokens != Some(computed)).then_some(computed)
    }

    /// Blocks that each running sequence holds besides those of its tokens.
    pub fn constant_blocks(&self) -> u32 {
        let calibrated = self.step.calibrated();
        calibrated.map_or(0, |calibrated| calibrated.memory().constant_blocks(self.block_size))
    }

    pub fn prefill_cost(&self) -> PrefillCost {
        match &self.step {
            StepTime::Calibrated(calibrated) => calibrated.prefill_cost(),
            StepTime::Linear(step) => PrefillCost {
                step_ns: step.base_ns,
                floor_ns: 0.0,
                chunk_tokens: self.max_num_batched_tokens,
                ns_per_token: step.ns_per_token,
                ns_per_pair: step.ns_per_pair,
            },
        }
    }

    pub fn check(&self) -> Result<(), ProfileError> {
        let err = |field, why: String| Err(ProfileError { field, why });
        if self.block_size == 0 || self.block_size > 65_536 {
            return err("block_size", format!("{}, expected 1 to 65536 tokens", self.block_size));
        }
        if let Some(tokens) = self.hbm_tokens
            && tokens < u64::from(self.block_size)
        {
            let why = format!("{tokens}, expected at least one block of {}", self.block_size);
            return err("hbm_tokens", why);
        }
        if self.max_num_seqs == 0 {
            return err("max_num_seqs", "0, expected at least 1".into());
        }
        if self.max_num_batched_tokens < self.max_num_seqs {
            let why = format!(
                "{}, expected at least max_num_seqs = {}",
                self.max_num_batched_tokens, self.max_num_seqs
            );
            return err("max_num_batched_tokens", why);
        }
        if let StepTime::Linear(step) = &self.step {
            step.check()?;
        }
        self.check_hierarchy()
    }
}
