//! quota

use crate::id::TenantId;
use crate::request::Owner;
use crate::runs::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// What each tenant has of a memory with nothing behind it.
#[derive(Debug)]
pub(super) struct Quotas {
    /// Of each tenant, in blocks.
    pub share: u64,
    pub tenants: BTreeMap<TenantId, Holding>,
}

#[derive(Default, Debug)]
pub(super) struct Holding {
    /// Blocks that are its own.
    pub resident: u64,
    /// Of those the runs that nobody holds: when they were used, what they end at (the far end
    /// first), and which they are.
    pub idle: BTreeSet<(u64, u32, NodeId)>,
}

impl Quotas {
    pub fn came(&mut self, owner: Option<Owner>, blocks: u64) {
        if let Some(owner) = owner {
            self.tenants.entry(owner.tenant).or_default().resident += blocks;
        }
    }

    pub fn left(&mut self, owner: Option<Owner>, blocks: u64) {
        if let Some(owner) = owner {
            let holding = self.tenants.get_mut(&owner.tenant).expect("it has blocks");
            holding.resident -= blocks;
            if holding.resident == 0 {
                self.tenants.remove(&owner.tenant);
            }
        }
    }

    pub fn held(&self, tenant: TenantId) -> u64 {
        self.tenants.get(&tenant).map_or(0, |holding| holding.resident)
    }

    /// Who is over its share, and by how many blocks, the furthest first. The `new` blocks count as
    /// the putter's.
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
