//! What a step takes, from what it is made of: made up, or from the physics of a device and a model.

use crate::engine::physics::Calibrated;
use crate::engine::profile::ProfileError;
use crate::time::Duration;
use serde::{Deserialize, Deserializer, Serialize};

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
    }

    /// Adds a sequence that decodes and attends to `context` tokens, its own new one included.
    pub fn add_decode(&mut self, context: u32, window: u32) {
        self.tokens += 1;
        self.seqs += 1;
        self.decoding += 1;
        self.context += u64::from(context);
        self.window_context += u64::from(context.min(window));
    }
}

impl StepTime {
    pub fn ns(&self, shape: &StepShape) -> f64 {
        match self {
            Self::Linear(linear) => linear.ns(shape),
            Self::Calibrated(calibrated) => calibrated.ns(shape),
        }
    }

    /// By how much a step takes longer than the one before, while so many sequences decode and so
    /// many of their windows still fill.
    pub fn growth_ns(&self, decoding: u32, filling: u32) -> f64 {
        match self {
            Self::Linear(linear) => f64::from(decoding) * linear.ns_per_context_token,
            Self::Calibrated(calibrated) => calibrated.growth_ns(decoding, filling),
        }
    }

    /// The window of sliding-window layers in tokens; 0 where there are none.
    pub fn window(&self) -> u32 {
        match self {
            Self::Linear(_) => 0,
            Self::Calibrated(calibrated) => calibrated.window(),
        }
    }

    /// From a request's arrival until it may be admitted, where a decode step takes `step_ns` now
    /// (0: nobody decodes).
    pub fn front_end(&self, prompt_tokens: u32, step_ns: f64) -> Duration {
        match self {
            Self::Linear(_) => Duration::ZERO,
            Self::Calibrated(calibrated) => calibrated.front_end(prompt_tokens, step_ns),
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
    pub(super) fn check(&self) -> Result<(), ProfileError> {
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
