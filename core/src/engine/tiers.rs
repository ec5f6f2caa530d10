//! The tiers behind HBM, and the links to pools and other workers, as in a profile file.

use crate::id::SourceId;
use serde::{Deserialize, Serialize};

/// A tier of the worker behind HBM: host memory, a local disk.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierSpec {
    /// Name in reports, such as "host" or "disk".
    pub name: String,
    /// Room, in tokens.
    pub tokens: u64,
    /// Bandwidth to HBM in GB/s (10^9 bytes), shared by all loads under way.
    pub load_gb_s: f64,
    /// Bandwidth from HBM, in GB/s.
    pub store_gb_s: f64,
    /// What a load or a store is copied in; None: the bandwidths above hold.
    #[serde(default)]
    pub pieces: Option<Pieces>,
    /// Latency of each load on top of its time on the link, in microseconds.
    pub latency_us: f64,
    /// Which blocks leave the tier first.
    pub eviction: EvictionRule,
    /// When blocks are written to it.
    pub fill: Fill,
    /// When blocks are loaded from it.
    pub loads: Loads,
}

/// The pieces in which blocks are copied; each takes a time to begin. 64 KiB is one layer of one block of
/// 16 tokens of Llama-3.1-8B in BF16.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pieces {
    /// Size on one device, in 1,024 bytes.
    pub kib: f64,
    /// Time to begin each, in microseconds.
    pub each_us: f64,
}

/// The link of a worker to a shared pool.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolLink {
    /// Bandwidth of the worker's own link, in GB/s. All workers also share the pool's bandwidth.
    pub gb_s: f64,
    /// Latency of each fetch on top of its time on the link, in microseconds.
    pub latency_us: f64,
    /// When blocks are put into the pool: when computed, or when they leave the worker.
    pub fill: Fill,
    /// When blocks are fetched from it.
    pub loads: Loads,
    /// Timeout of a fetch in milliseconds. The worker then computes the blocks.
    pub timeout_ms: f64,
}

/// The link of a worker to its peers. A tier behind HBM is read at the same rate, without the
/// link of that tier. That is right for host memory and too fast for a disk.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerLink {
    /// Bandwidth out of each worker in GB/s, shared by all peers that fetch from it.
    pub gb_s: f64,
    /// Latency of each fetch on top of its time on the link, in microseconds.
    pub latency_us: f64,
    /// When blocks are fetched from peers.
    pub loads: Loads,
    /// Timeout of a fetch in milliseconds. The worker then computes the blocks.
    pub timeout_ms: f64,
}

/// When blocks are written to a tier or a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// When they leave the tier before it. A load moves them back, so a block is in one place.
    Spill,
    /// When they are computed. A load copies them, so they stay in the tier.
    WriteThrough,
}

/// When cached blocks are moved to HBM instead of being computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loads {
    /// Always.
    Always,
    /// If the link and the transfer take less time than computing the tokens.
    WhenCheaper,
}

/// The name of an eviction rule, as in a profile file.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvictionRule {
    /// `lru`: least recently used first.
    #[default]
    Lru,
    /// `arc`: adaptive replacement, which keeps reused blocks longer.
    Arc,
}

/// Blocks of a prompt that a pool or a peer can send.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Offer {
    /// The pool or the peer.
    pub from: SourceId,
    /// How many blocks it has, from the start of the prompt.
    pub blocks: u32,
    /// Current time for each block, in nanoseconds.
    pub ns_per_block: f64,
    /// Time before the first block, in nanoseconds.
    pub latency_ns: f64,
    /// Fetch it even if computing the blocks is faster.
    pub always: bool,
}

impl Offer {
    /// Nanoseconds to fetch `blocks` blocks.
    pub fn estimate(&self, blocks: u32) -> f64 {
        self.latency_ns + f64::from(blocks) * self.ns_per_block
    }
}
