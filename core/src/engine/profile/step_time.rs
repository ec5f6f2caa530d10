//! The time of a step: given as a few made-up numbers, or computed from a device and a model.

use super::error::ProfileError;
use crate::engine::physics::StepShape;
use crate::engine::physics::{Calibrated, Floor};
use crate::engine::physics::{Joining, Launch};
use crate::time::Duration;
use serde::{Deserialize, Deserializer, Serialize};

/// The time of a step.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum StepTime {
    /// Made-up numbers.
    Linear(LinearStep),
    /// Computed from a device, a model and a deployment.
    Calibrated(Calibrated),
}

/// A made-up step time, in a few numbers that can be checked by hand. Its form follows GPUs: a step
/// reads all weights once or multiplies its tokens with them, whichever takes longer. Prefill
/// attention pays for each pair of tokens, and decode attention reads the whole context.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearStep {
    /// Launches and the host's part, for each step.
    pub base_ns: f64,
    /// Reading all weights once: the least time of the matrix products.
    pub weights_ns: f64,
    /// Matrix products, for each new token.
    pub ns_per_token: f64,
    /// Prefill attention, for each pair of a new token and one it attends to.
    pub ns_per_pair: f64,
    /// Decode attention, for each token of context.
    pub ns_per_context_token: f64,
    /// Sampling and bookkeeping, for each sequence.
    pub ns_per_seq: f64,
}

impl StepTime {
    /// The time of a step, in nanoseconds.
    pub fn ns(&self, shape: &StepShape) -> f64 {
        match self {
            Self::Linear(linear) => linear.ns(shape),
            Self::Calibrated(calibrated) => calibrated.ns(shape),
        }
    }

    /// What tokens add to a step at least.
    pub fn floor(&self) -> Floor {
        match self {
            Self::Linear(linear) => linear.floor(),
            Self::Calibrated(calibrated) => calibrated.floor(),
        }
    }

    /// Nanoseconds by which a step is longer than the one before, while `decoding` sequences decode
    /// and the sliding windows of `filling` of them are not full.
    /// `unevenness`: that of the shape.
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

    /// The sliding window in tokens; 0 without such layers.
    pub fn window(&self) -> u32 {
        match self {
            Self::Linear(_) => 0,
            Self::Calibrated(calibrated) => calibrated.window(),
        }
    }

    /// Time from a request's arrival until it may be admitted.
    pub fn front_end(&self, prompt_tokens: u32) -> Duration {
        match self {
            Self::Linear(_) => Duration::ZERO,
            Self::Calibrated(calibrated) => calibrated.front_end(prompt_tokens),
        }
    }

    /// The computed step time; None if it is made up.
    pub const fn calibrated(&self) -> Option<&Calibrated> {
        match self {
            Self::Linear(_) => None,
            Self::Calibrated(calibrated) => Some(calibrated),
        }
    }
}

/// A profile file has only made-up step times. Others are built from three files.
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
            let why = "base_ns + weights_ns is below 1, expected at least 1".into();
            return Err(ProfileError { field: "step", why });
        }
        Ok(())
    }

    const fn floor(&self) -> Floor {
        Floor {
            step: self.base_ns + self.weights_ns,
            per_token: self.ns_per_token,
            per_pair: self.ns_per_pair,
            per_window_pair: 0.0,
            per_context_token: self.ns_per_context_token,
            window: 0,
        }
    }

    /// The time of a step, in nanoseconds.
    pub fn ns(&self, shape: &StepShape) -> f64 {
        self.base_ns
            + (f64::from(shape.tokens) * self.ns_per_token).max(self.weights_ns)
            + shape.pairs * self.ns_per_pair
            + f64::from(shape.seqs) * self.ns_per_seq
            + shape.context as f64 * self.ns_per_context_token
    }
}
