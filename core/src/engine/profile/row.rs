//! The profile itself.

use super::error::ProfileError;
use super::step_time::StepTime;
use crate::engine::physics::{Calibrated, Hardware, Validation};
use crate::engine::tiers::EvictionRule;
use crate::engine::tiers::{PeerLink, PoolLink, TierSpec};
use crate::event::PrefillCost;
use serde::{Deserialize, Serialize};

/// A worker: a serving engine and its hardware.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name in reports.
    pub name: String,
    /// Whether its times were compared with measurements. Every report prints it.
    pub validated: bool,
    /// Tokens in a KV block.
    pub block_size: u32,
    /// Room for KV in HBM, in tokens; None: no limit.
    pub hbm_tokens: Option<u64>,
    /// KV bytes of a token, over all devices of the worker.
    pub kv_bytes_per_token: u64,
    /// The most sequences in one step.
    pub max_num_seqs: u32,
    /// The most tokens in one step; a longer prompt is computed in chunks.
    pub max_num_batched_tokens: u32,
    /// The time of a step.
    pub step: StepTime,
    /// Which blocks leave HBM first.
    #[serde(default)]
    pub eviction: EvictionRule,
    /// The worker's tiers behind HBM, from near to far.
    #[serde(default, rename = "tier")]
    pub tiers: Vec<TierSpec>,
    /// The link to a shared pool; None: the worker uses none.
    #[serde(default)]
    pub pool: Option<PoolLink>,
    /// The link to other workers; None: no peer fetch.
    #[serde(default)]
    pub peers: Option<PeerLink>,
}

impl Profile {
    /// Room for KV in HBM, in blocks; None: no limit.
    pub fn hbm_blocks(&self) -> Option<u64> {
        self.hbm_tokens.map(|tokens| tokens / u64::from(self.block_size))
    }

    /// Bytes of KV in one block.
    pub fn block_bytes(&self) -> f64 {
        self.kv_bytes_per_token as f64 * f64::from(self.block_size)
    }

    /// Sets the tokens of a block, and the sizes that follow from it.
    pub fn set_block_size(&mut self, block_size: u32) {
        self.block_size = block_size;
        let Some(calibrated) = self.step.calibrated().filter(|_| block_size > 0) else { return };
        let bytes = calibrated.memory().block_bytes(block_size) / f64::from(block_size);
        self.kv_bytes_per_token = libm::round(bytes) as u64;
        if calibrated.deployment().hbm_tokens.is_none() {
            self.hbm_tokens = Some(calibrated.hbm_tokens(block_size));
        }
    }

    /// Name of the model; None if the step time is made up.
    pub fn model(&self) -> Option<&str> {
        self.step.calibrated().map(|calibrated| calibrated.model())
    }

    /// Whether its times rest on measurements.
    pub fn standing(&self) -> Validation {
        match &self.step {
            StepTime::Calibrated(calibrated) => calibrated.standing().clone(),
            StepTime::Linear(_) => Validation {
                validated: self.validated,
                band_percent: None,
                because: "step times are made up".to_owned(),
            },
        }
    }

    /// Power and price of its chips, if it was built from a device.
    pub fn hardware(&self) -> Option<&Hardware> {
        self.step.calibrated().map(Calibrated::hardware)
    }

    /// If the profile sets the room for KV: the tokens that memory and weights would leave.
    pub fn overridden_hbm_tokens(&self) -> Option<u64> {
        let computed = self.step.calibrated()?.hbm_tokens(self.block_size);
        (self.hbm_tokens != Some(computed)).then_some(computed)
    }

    /// Blocks that hold the constant part of each running sequence.
    pub fn constant_blocks(&self) -> u32 {
        let calibrated = self.step.calibrated();
        calibrated.map_or(0, |calibrated| calibrated.memory().constant_blocks(self.block_size))
    }

    /// The costs of prefill, for a router's estimates.
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

    /// Checks all values.
    ///
    /// # Errors
    /// Names the first field that is out of range.
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
