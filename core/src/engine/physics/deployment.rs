//! The third row: how a model is served on a device. Rows make a [`Profile`].

use super::error::BuildError;
use super::precision::{KvDtype, Precision};
use super::step::Placement;
use crate::engine::profile::{PeerLink, PoolLink, TierSpec};
use crate::engine::store::eviction::EvictionRule;
use serde::{Deserialize, Serialize};

/// The most tokens a step may have: the table by tokens is kept in memory.
const MOST_BATCHED_TOKENS: u32 = 131_072;

const MOST_SEQS: u32 = 65_536;

/// A profile file that names its device and its model.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    pub name: String,
    pub device: String,
    pub model: String,
    /// Devices in the tensor-parallel group.
    pub tp: u32,
    pub precision: Precision,
    pub kv_dtype: KvDtype,
    pub max_num_seqs: u32,
    pub max_num_batched_tokens: u32,
    /// Tokens a KV block. A hybrid keeps a state at each block's end, so there it is hundreds.
    pub block_size: u32,
    /// Share of HBM that the engine may use.
    #[serde(default = "default_utilisation")]
    pub memory_utilisation: f64,
    /// Of each device, held back for activations, graphs and the runtime, in 10^9 bytes.
    #[serde(default = "default_activation_gb")]
    pub activation_gb: f64,
    /// Room for KV in HBM in tokens, in place of what memory and weights leave.
    pub hbm_tokens: Option<u64>,
    /// As in [`Profile`], and so the three below.
    #[serde(default)]
    pub eviction: EvictionRule,
    #[serde(default, rename = "tier")]
    pub tiers: Vec<TierSpec>,
    #[serde(default)]
    pub pool: Option<PoolLink>,
    #[serde(default)]
    pub peers: Option<PeerLink>,
}

/// vLLM's default.
const fn default_utilisation() -> f64 {
    0.9
}

/// What makes a vLLM pod of Qwen3-32B on two H100 hold the 307,328 tokens it reports
/// (llm-d-kv-cache, benchmarking/73-capacity).
const fn default_activation_gb() -> f64 {
    3.9
}

impl Deployment {
    /// As vLLM serves unless told otherwise. Names are the caller's to set.
    pub const fn new(tp: u32, precision: Precision, kv_dtype: KvDtype) -> Self {
        Self {
            name: String::new(),
            device: String::new(),
            model: String::new(),
            tp,
            precision,
            kv_dtype,
            max_num_seqs: 256,
            max_num_batched_tokens: 8192,
            block_size: 16,
            memory_utilisation: default_utilisation(),
            activation_gb: default_activation_gb(),
            hbm_tokens: None,
            eviction: EvictionRule::Lru,
            tiers: Vec::new(),
            pool: None,
            peers: None,
        }
    }

    pub const fn placement(&self) -> Placement {
        Placement { tp: self.tp, precision: self.precision, kv: self.kv_dtype }
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        let err = |field: &str, why: String| Err(BuildError::new(field, why));
        if !(1..=1024).contains(&self.tp) {
            return err("tp", format!("{}, expected 1 to 1024 devices", self.tp));
        }
        if self.block_size == 0 || self.block_size > 65_536 {
            return err("block_size", format!("{}, expected 1 to 65536 tokens", self.block_size));
        }
        if !(1..=MOST_SEQS).contains(&self.max_num_seqs) {
            let why = format!("{}, expected 1 to {MOST_SEQS}", self.max_num_seqs);
            return err("max_num_seqs", why);
        }
        if self.max_num_batched_tokens > MOST_BATCHED_TOKENS {
            let why =
                format!("{}, expected at most {MOST_BATCHED_TOKENS}", self.max_num_batched_tokens);
            return err("max_num_batched_tokens", why);
        }
        if !(self.memory_utilisation > 0.0 && self.memory_utilisation <= 1.0) {
            let why = format!("{}, expected more than 0 and at most 1", self.memory_utilisation);
            return err("memory_utilisation", why);
        }
        if !(0.0..1e6).contains(&self.activation_gb) {
            return err("activation_gb", format!("{}, expected 0 or more", self.activation_gb));
        }
        Ok(())
    }
}
