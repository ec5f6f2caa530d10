//! Blocks of each tenant, where a pool guarantees every tenant a share.
//!
//! When room is needed, the tenant that exceeds its share the most gives it. New blocks count for
//! the tenant that puts them. So a tenant exceeds its share only while no other needs the room.

use crate::id::TenantId;
use crate::request::Owner;
use crate::runs::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// The blocks of all tenants in a store without tiers behind its memory.
#[derive(Debug)]
pub(super) struct Quotas {
    /// The guarantee of each tenant, in blocks.
    pub share: u64,
    pub tenants: BTreeMap<TenantId, Holding>,
}

/// The blocks of one tenant.
#[derive(Default, Debug)]
pub(super) struct Holding {
    /// Blocks that it owns.
    pub resident: u64,
    /// Its runs without a lease: last use, end (in reverse, so the deepest is first), node.
    pub idle: BTreeSet<(u64, u32, NodeId)>,
}

impl Quotas {
    pub fn record_stored(&mut self, owner: Option<Owner>, blocks: u64) {
        if let Some(owner) = owner {
            self.tenants.entry(owner.tenant).or_default().resident += blocks;
        }
    }

    pub fn record_removed(&mut self, owner: Option<Owner>, blocks: u64) {
        if let Some(owner) = owner {
            let holding = self.tenants.get_mut(&owner.tenant).expect("the owner of a stored run");
            holding.resident -= blocks;
            if holding.resident == 0 {
                self.tenants.remove(&owner.tenant);
            }
        }
    }

    pub fn held(&self, tenant: TenantId) -> u64 {
        self.tenants.get(&tenant).map_or(0, |holding| holding.resident)
    }

    /// Tenants above their share with the excess in blocks, the largest first. The `new` blocks
    /// count for `putter`.
    pub fn over(&self, putter: Option<TenantId>, new: u64) -> Vec<(u64, TenantId)> {
        let over = |(&tenant, holding): (&TenantId, &Holding)| {
            let puts = if putter == Some(tenant) { new } else { 0 };
            let over = (holding.resident + puts).saturating_sub(self.share);
            (over > 0).then_some((over, tenant))
        };
        let mut all: Vec<_> = self.tenants.iter().filter_map(over).collect();
        all.sort_by_key(|&(over, tenant)| (core::cmp::Reverse(over), tenant));
        all
    }
}
