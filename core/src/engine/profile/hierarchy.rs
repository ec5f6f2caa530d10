//! The costs and the checks of a profile's tiers and links.

use super::error::ProfileError;
use super::row::Profile;
use crate::engine::tiers::Offer;
use crate::engine::tiers::{Loads, TierSpec};
use crate::event::{FetchCost, TierCost};
use crate::id::{MAX_TIERS, PoolId, SourceId, TierId, WorkerId};
use crate::time::Duration;

impl Profile {
    /// Names of the tiers, HBM first.
    pub fn tier_names(&self) -> Vec<&str> {
        let behind = self.tiers.iter().map(|tier| tier.name.as_str());
        core::iter::once("hbm").chain(behind).collect()
    }

    /// The cost of each tier behind HBM, for a router's estimates.
    pub fn tier_costs(&self) -> Vec<TierCost> {
        let cost = |(i, tier): (usize, &TierSpec)| TierCost {
            tier: TierId(i as u8 + 1),
            latency_ns: tier.latency_us * 1e3,
            load_ns_per_block: self.block_bytes() / tier.load_gb_s,
        };
        self.tiers.iter().enumerate().map(cost).collect()
    }

    /// The cost of a fetch from the pool; None without a pool.
    pub fn pool_cost(&self) -> Option<FetchCost> {
        self.pool.map(|pool| FetchCost {
            latency_ns: pool.latency_us * 1e3,
            ns_per_block: self.block_bytes() / pool.gb_s,
        })
    }

    /// The cost of a fetch from a peer; None without a peer link.
    pub fn peer_cost(&self) -> Option<FetchCost> {
        self.peers.map(|peers| FetchCost {
            latency_ns: peers.latency_us * 1e3,
            ns_per_block: self.block_bytes() / peers.gb_s,
        })
    }

    /// The offer of a pool that has `blocks` blocks of a prompt, and now sends a block in
    /// `ns_per_block`. None: the profile has no link to a pool.
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

    /// The offer of a peer that has `blocks` blocks of a prompt. None: no peer link.
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

    /// The timeout of a fetch from this source.
    pub fn fetch_timeout(&self, from: SourceId) -> Duration {
        let ms = match from {
            SourceId::Pool(_) => self.pool.map(|pool| pool.timeout_ms),
            SourceId::Worker(_) => self.peers.map(|peers| peers.timeout_ms),
        };
        Duration::from_nanos_f64(ms.unwrap_or_default() * 1e6)
    }

    /// Nanoseconds to send one block to a peer, if no other is under way.
    pub fn peer_send_ns_per_block(&self) -> f64 {
        self.peers.map_or(0.0, |peers| self.block_bytes() / peers.gb_s)
    }

    /// Checks tiers and links.
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
        if !(0.0..=1e12).contains(&self.latency_us) {
            return err("tier.latency_us", format!("{}, expected 0 or more", self.latency_us));
        }
        let namesakes = profile.tiers.iter().filter(|tier| tier.name == self.name).count();
        let taken = ["", "hbm", "pool", "peers"].contains(&self.name.as_str());
        if taken || namesakes > 1 {
            let why = "expected a unique name other than \"hbm\", \"pool\" and \"peers\"";
            return err("tier.name", why.into());
        }
        Ok(())
    }
}
