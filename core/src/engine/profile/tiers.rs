//! tiers

use crate::engine::store::eviction::EvictionRule;
use serde::{Deserialize, Serialize};

/// A tier behind HBM, private to the worker: host memory, a local disk.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierSpec {
    /// What reports call it: "host", "disk".
    pub name: String,
    /// Room, in tokens.
    pub tokens: u64,
    /// Of the link to HBM, in GB/s (10^9 bytes), shared by all loads under way.
    pub load_gb_s: f64,
    /// Of the link from HBM.
    pub store_gb_s: f64,
    /// Of each load, beside its time on the link.
    pub latency_us: f64,
    /// What leaves it first.
    pub eviction: EvictionRule,
    pub fill: Fill,
    pub loads: Loads,
}

/// How a worker uses a pool that it shares with others.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolLink {
    /// Of the worker's own link to it, in GB/s; what all workers share is the pool's.
    pub gb_s: f64,
    /// Of each fetch, beside its time on the link.
    pub latency_us: f64,
    /// When blocks are put into it: as they are computed, or when they leave the worker.
    pub fill: Fill,
    pub loads: Loads,
    /// After which a fetch is given up and computed instead.
    pub timeout_ms: f64,
}

/// How a worker fetches from its peers. What lies behind the lender's HBM leaves at the same rate: the
/// network reads it without the lender's own link, which holds for host memory and flatters a disk.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerLink {
    /// Out of each worker, in GB/s, shared by all that fetch from it.
    pub gb_s: f64,
    pub latency_us: f64,
    pub loads: Loads,
    pub timeout_ms: f64,
}

/// When blocks come to a tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// When they leave the tier before it. They leave it again for HBM: a block is in one place.
    Spill,
    /// As soon as they are computed. They stay when they are loaded.
    WriteThrough,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loads {
    Always,
    /// Where waiting for the link and the transfer takes less time than computing the tokens.
    WhenCheaper,
}
