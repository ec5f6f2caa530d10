//! What lies behind HBM: tiers of the worker's own, and the ways to what others have.

use super::{Profile, ProfileError};
use crate::engine::store::Offer;
use crate::engine::store::eviction::EvictionRule;
use crate::event::{FetchCost, TierCost};
use crate::id::{MAX_TIERS, PoolId, SourceId, TierId, WorkerId};
use crate::time::Duration;
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
    /// What a load or a store is copied in. None: so large that the rates above hold.
    #[serde(default)]
    pub pieces: Option<Pieces>,
    /// Of each load, beside its time on the link.
    pub latency_us: f64,
    /// What leaves it first.
    pub eviction: EvictionRule,
    pub fill: Fill,
    pub loads: Loads,
}

/// Blocks are copied in pieces, each of which takes a time to begin: 64 KiB is one layer of one block of
/// 16 tokens of Llama-3.1-8B in BF16.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pieces {
    /// Of one device, in 1,024 bytes.
    pub kib: f64,
    /// To begin one, in microseconds.
    pub each_us: f64,
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

impl Profile {
    /// Names of the tiers, HBM first.
    pub fn tier_names(&self) -> Vec<&str> {
        let behind = self.tiers.iter().map(|tier| tier.name.as_str());
        core::iter::once("hbm").chain(behind).collect()
    }

    pub fn tier_costs(&self) -> Vec<TierCost> {
        let cost = |(i, tier): (usize, &TierSpec)| TierCost {
            tier: TierId(i as u8 + 1),
            latency_ns: tier.latency_us * 1e3,
            load_ns_per_block: self.block_bytes() / tier.load_gb_s + self.begin_ns_per_block(tier),
        };
        self.tiers.iter().enumerate().map(cost).collect()
    }

    /// What beginning the pieces of a block takes, beside its time on the link. Devices of a group copy theirs
    /// side by side.
    pub fn begin_ns_per_block(&self, tier: &TierSpec) -> f64 {
        let devices = self.step.calibrated().map_or(1, |one| one.deployment().tp);
        tier.pieces.map_or(0.0, |pieces| {
            let bytes = self.block_bytes() / f64::from(devices);
            libm::ceil(bytes / (pieces.kib * 1024.0)) * pieces.each_us * 1e3
        })
    }

    pub fn pool_cost(&self) -> Option<FetchCost> {
        self.pool.map(|pool| FetchCost {
            latency_ns: pool.latency_us * 1e3,
            ns_per_block: self.block_bytes() / pool.gb_s,
        })
    }

    pub fn peer_cost(&self) -> Option<FetchCost> {
        self.peers.map(|peers| FetchCost {
            latency_ns: peers.latency_us * 1e3,
            ns_per_block: self.block_bytes() / peers.gb_s,
        })
    }

    /// What a pool could send of a prompt of which it has so many blocks, where a block leaves it in
    /// so many nanoseconds now. None: the profile has no way to a pool.
    pub fn pool_offer(&self, from: PoolId, blocks: u32, ns_per_block: f64) -> Option<Offer> {
        let (link, cost) = self.pool.zip(self.pool_cost())?;
        Some(Offer {
            from: from.into(),
            blocks,
            ns_per_block: ns_per_block.max(cost.ns_per_block),
            latency_ns: cost.latency_ns,
            always: link.loads == Loads::Always,
        })
    }

    /// The same for a peer.
    pub fn peer_offer(&self, from: WorkerId, blocks: u32) -> Option<Offer> {
        let (link, cost) = self.peers.zip(self.peer_cost())?;
        Some(Offer {
            from: from.into(),
            blocks,
            ns_per_block: cost.ns_per_block,
            latency_ns: cost.latency_ns,
            always: link.loads == Loads::Always,
        })
    }

    /// How long a fetch from such a source is waited for.
    pub fn fetch_timeout(&self, from: SourceId) -> Duration {
        let ms = match from {
            SourceId::Pool(_) => self.pool.map(|pool| pool.timeout_ms),
            SourceId::Worker(_) => self.peers.map(|peers| peers.timeout_ms),
        };
        Duration::from_nanos_f64(ms.unwrap_or_default() * 1e6)
    }

    /// What a block takes out of this worker alone, in nanoseconds.
    pub fn lend_ns_per_block(&self) -> f64 {
        self.peers.map_or(0.0, |peers| self.block_bytes() / peers.gb_s)
    }

    pub(super) fn check_hierarchy(&self) -> Result<(), ProfileError> {
        let err = |field, why: String| Err(ProfileError { field, why });
        if self.tiers.len() >= MAX_TIERS {
            let why = format!("{} tiers, expected at most {}", self.tiers.len(), MAX_TIERS - 1);
            return err("tier", why);
        }
        self.tiers.iter().try_for_each(|tier| tier.check(self))?;
        let pool = self.pool.map(|pool| {
            let fields = ["pool.gb_s", "pool.timeout_ms", "pool.latency_us"];
            (fields, [pool.gb_s, pool.timeout_ms, pool.latency_us])
        });
        let peers = self.peers.map(|peers| {
            let fields = ["peers.gb_s", "peers.timeout_ms", "peers.latency_us"];
            (fields, [peers.gb_s, peers.timeout_ms, peers.latency_us])
        });
        for ([rate, timeout, latency], [gb_s, timeout_ms, latency_us]) in
            pool.into_iter().chain(peers)
        {
            for (field, value) in [(rate, gb_s), (timeout, timeout_ms)] {
                if !(value > 0.0 && value <= 1e9) {
                    return err(field, format!("{value}, expected more than 0"));
                }
            }
            if !(0.0..=1e12).contains(&latency_us) {
                return err(latency, format!("{latency_us}, expected 0 or more"));
            }
        }
        Ok(())
    }
}

impl TierSpec {
    fn check(&self, profile: &Profile) -> Result<(), ProfileError> {
        let err = |field, why: String| {
            let why = format!("{why}, in tier \"{}\"", self.name);
            Err(ProfileError { field, why })
        };
        if self.tokens < u64::from(profile.block_size) {
            let least = profile.block_size;
            return err(
                "tier.tokens",
                format!("{}, expected at least one block of {least}", self.tokens),
            );
        }
        for (field, rate) in
            [("tier.load_gb_s", self.load_gb_s), ("tier.store_gb_s", self.store_gb_s)]
        {
            if !(rate > 0.0 && rate.is_finite()) {
                return err(field, format!("{rate}, expected more than 0"));
            }
        }
        if let Some(pieces) = self.pieces {
            if !(pieces.kib > 0.0 && pieces.kib <= 1e12) {
                return err("tier.pieces.kib", format!("{}, expected more than 0", pieces.kib));
            }
            if !(0.0..=1e12).contains(&pieces.each_us) {
                let why = format!("{}, expected 0 or more", pieces.each_us);
                return err("tier.pieces.each_us", why);
            }
        }
        if !(0.0..=1e12).contains(&self.latency_us) {
            return err("tier.latency_us", format!("{}, expected 0 or more", self.latency_us));
        }
        let namesakes = profile.tiers.iter().filter(|tier| tier.name == self.name).count();
        let taken = ["", "hbm", "pool", "peers"].contains(&self.name.as_str());
        if taken || namesakes > 1 {
            let why = "expected a name of its own, not \"hbm\", \"pool\" or \"peers\"";
            return err("tier.name", why.into());
        }
        Ok(())
    }
}
