//! A deployment: how a model is served on a device.

use super::error::BuildError;
use super::host::FrontEnd;
use super::model_ref::ModelRef;
use super::precision::{KvDtype, Precision};
use super::step::Placement;
use crate::engine::tiers::EvictionRule;
use crate::engine::tiers::{PeerLink, PoolLink, TierSpec};
use serde::{Deserialize, Serialize};

/// The largest `max_num_batched_tokens`; the table by tokens has one entry for each.
const MOST_BATCHED_TOKENS: u32 = 131_072;
/// The largest `max_num_seqs`.
const MOST_SEQS: u32 = 65_536;

/// A file in `deploy/profiles` that names a device and a model.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Name of the profile.
    pub name: String,
    /// Name of the device file.
    pub device: String,
    /// The model: the name of its file, or its sizes.
    pub model: ModelRef,
    /// Devices in the tensor-parallel group.
    pub tp: u32,
    /// Format of the weights.
    pub precision: Precision,
    /// Format of the KV cache.
    pub kv_dtype: KvDtype,
    /// The most sequences in one step.
    pub max_num_seqs: u32,
    /// The most tokens in one step.
    pub max_num_batched_tokens: u32,
    /// Tokens of a KV block. Hundreds for a hybrid model, which keeps a state at each block's end.
    pub block_size: u32,
    /// Part of HBM that the engine may use, up to 1.
    #[serde(default = "default_utilisation")]
    pub memory_utilisation: f64,
    /// Memory of each device held back for activations, graphs and the runtime, in 10^9 bytes.
    #[serde(default = "default_activation_gb")]
    pub activation_gb: f64,
    /// Room for KV in HBM, in tokens. None: what the weights leave.
    pub hbm_tokens: Option<u64>,
    /// How requests come to the engine.
    #[serde(default)]
    pub front_end: FrontEnd,
    /// As in [`Profile`](crate::engine::profile::Profile), like the next three.
    #[serde(default)]
    pub eviction: EvictionRule,
    /// The tiers behind HBM.
    #[serde(default, rename = "tier")]
    pub tiers: Vec<TierSpec>,
    /// The link to a shared pool.
    #[serde(default)]
    pub pool: Option<PoolLink>,
    /// The link to other workers.
    #[serde(default)]
    pub peers: Option<PeerLink>,
}

/// vLLM's default.
const fn default_utilisation() -> f64 {
    0.9
}

/// With it, a vLLM pod of Qwen3-32B on two H100 gets the 307,328 tokens that it reports
/// (llm-d-kv-cache, benchmarking/73-capacity).
const fn default_activation_gb() -> f64 {
    3.9
}

impl Deployment {
    /// vLLM's defaults on `tp` devices. The caller sets the names.
    pub const fn new(tp: u32, precision: Precision, kv_dtype: KvDtype) -> Self {
        Self {
            name: String::new(),
            device: String::new(),
            model: ModelRef::Named(String::new()),
            tp,
            precision,
            kv_dtype,
            max_num_seqs: 256,
            max_num_batched_tokens: 8192,
            block_size: 16,
            memory_utilisation: default_utilisation(),
            activation_gb: default_activation_gb(),
            hbm_tokens: None,
            front_end: FrontEnd::Http,
            eviction: EvictionRule::Lru,
            tiers: Vec::new(),
            pool: None,
            peers: None,
        }
    }

    /// The part of the deployment that a step's time depends on.
    pub const fn placement(&self) -> Placement {
        Placement { tp: self.tp, precision: self.precision, kv: self.kv_dtype }
    }

    pub(in crate::engine) fn check(&self) -> Result<(), BuildError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every field that is out of range.
    pub fn problems(&self) -> Vec<BuildError> {
        let mut problems = Vec::new();
        let mut err = |field: &str, why: String| problems.push(BuildError::new(field, why));
        if !(1..=1024).contains(&self.tp) {
            err("tp", format!("{}, expected 1 to 1024 devices", self.tp));
        }
        if self.block_size == 0 || self.block_size > 65_536 {
            err("block_size", format!("{}, expected 1 to 65536 tokens", self.block_size));
        }
        if !(1..=MOST_SEQS).contains(&self.max_num_seqs) {
            err("max_num_seqs", format!("{}, expected 1 to {MOST_SEQS}", self.max_num_seqs));
        }
        if self.max_num_batched_tokens > MOST_BATCHED_TOKENS {
            let why =
                format!("{}, expected at most {MOST_BATCHED_TOKENS}", self.max_num_batched_tokens);
            err("max_num_batched_tokens", why);
        }
        if !(self.memory_utilisation > 0.0 && self.memory_utilisation <= 1.0) {
            let why = format!("{}, expected more than 0 and at most 1", self.memory_utilisation);
            err("memory_utilisation", why);
        }
        if !(0.0..1e6).contains(&self.activation_gb) {
            err("activation_gb", format!("{}, expected 0 or more", self.activation_gb));
        }
        problems
    }
}
