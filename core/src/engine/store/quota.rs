//! A share of the room for each tenant, so that none flushes another.
//!
//! Where room is needed, the tenant that is furthest over its share gives it, what is being put
//! counted as its putter's; so a tenant may have more than its share only of room that nobody else
//! asks for.

use super::load::Plan;
use super::{Acquired, BlockStore, HBM, Lease, NoRoom};
use crate::block::BlockRun;
use crate::engine::profile::Fill;
use crate::id::TenantId;
use crate::request::Owner;
use crate::runs::{NodeId, anchor_above};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// What each tenant has of a memory with nothing behind it.
#[derive(Debug)]
pub(super) struct Quotas {
    /// Of each tenant, in blocks.
    share: u64,
    tenants: BTreeMap<TenantId, Holding>,
}

#[derive(Default, Debug)]
struct Holding {
    /// Blocks that are its own.
    resident: u64,
    /// Of those the runs that nobody holds: when they were used, what they end at (the far end
    /// first), and which they are.
    idle: BTreeSet<(u64, u32, NodeId)>,
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

    fn held(&self, tenant: TenantId) -> u64 {
        self.tenants.get(&tenant).map_or(0, |holding| holding.resident)
    }

    /// Who is over its share, and by how many blocks, the furthest first. The `new` blocks count as
    /// the putter's.
    fn over(&self, putter: Option<TenantId>, new: u64) -> Vec<(u64, TenantId)> {
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

impl BlockStore {
    /// Each tenant has a right to so many blocks of a memory with nothing behind it.
    #[must_use]
    pub fn with_quota(mut self, share: u64) -> Self {
        self.quotas = Some(Quotas { share, tenants: BTreeMap::new() });
        self
    }

    /// Whose blocks a lease computes, and those that came from others on its behalf.
    pub fn belongs(&mut self, lease: &mut Lease, owner: Owner) {
        lease.owner = Some(owner);
        if !self.marks_owners() {
            return;
        }
        let mut next = lease.deepest;
        while let Some(id) = next {
            let node = self.tree.get_mut(id);
            if node.value.loading.is_some() && node.value.owner.is_none() {
                node.value.owner = Some(owner);
            }
            next = node.parent;
        }
    }

    /// As [`BlockStore::keep`], where tenants have shares: the blocks that are new are the
    /// tenant's, or nobody's. Of what does not fit the share only the beginning is kept.
    pub fn keep_of(
        &mut self,
        now: Instant,
        run: &BlockRun,
        owner: Option<Owner>,
    ) -> Result<u32, NoRoom> {
        let found = self.find(&run.chain, run.start, run.end);
        let plan = Plan { end: found.coming, offer: None };
        // What comes before it is held first, so that it does not make the room for what follows.
        let chain = run.chain.named_from(anchor_above(found.coming));
        let held = self.hold_planned(now, &chain, &found, &plan, found.coming);
        let Acquired::Ready { mut lease, .. } = held else { return Err(NoRoom) };
        lease.owner = owner;
        let new = u64::from(run.end.saturating_sub(found.coming));
        let room = self.make_room_of(now, owner.map(|owner| owner.tenant), new) as u32;
        let end = found.coming + room;
        let grown = self.grow(now, &mut lease, end);
        grown.expect("room was made");
        self.commit(now, &mut lease, end);
        self.release(lease);
        Ok(room)
    }

    /// Makes room for so many blocks of a tenant, as far as there may be: for how many there is.
    fn make_room_of(&mut self, now: Instant, putter: Option<TenantId>, new: u64) -> u64 {
        let Some(capacity) = self.tiers[HBM].capacity else { return new };
        let mut new = new;
        loop {
            let free = capacity - self.tiers[HBM].resident - self.reserved;
            let missing = new.saturating_sub(free);
            if missing == 0 {
                return new;
            }
            let quotas = self.quotas.as_ref().expect("tenants have shares");
            let over = quotas.over(putter, new);
            let spare =
                putter.map_or(u64::MAX, |tenant| quotas.share.saturating_sub(quotas.held(tenant)));
            let of = |&(most, tenant): &(u64, TenantId)| Some((self.oldest_of(tenant)?, most));
            if let Some((id, most)) = over.iter().find_map(of) {
                self.evict(now, id, HBM, missing.min(most));
            } else if new > spare {
                // Nothing of the putter's may leave, and nobody makes way for what is over.
                new = free.max(spare);
            } else if let Some(id) = self.victim(HBM) {
                self.evict(now, id, HBM, missing);
            } else {
                return free;
            }
        }
    }

    /// The run of a tenant that was used least recently, of those from which nothing goes on.
    fn oldest_of(&self, tenant: TenantId) -> Option<NodeId> {
        let idle = &self.quotas.as_ref()?.tenants.get(&tenant)?.idle;
        let is_leaf = |id: &NodeId| self.tree.get(*id).value.below[HBM] == 0;
        idle.iter().map(|&(_, _, id)| id).find(is_leaf)
    }

    /// Whether runs say whose they are: a share needs it, and a pool that gets them later.
    pub(super) fn marks_owners(&self) -> bool {
        self.quotas.is_some() || self.pool == Some(Fill::Spill)
    }

    /// A run that nobody holds stands among its tenant's, or does not any more.
    pub(super) fn stand(&mut self, id: NodeId, stands: bool) {
        let Some(quotas) = &mut self.quotas else { return };
        let node = self.tree.get(id);
        let Some(owner) = node.value.owner else { return };
        let holding = quotas.tenants.get_mut(&owner.tenant).expect("it has blocks");
        let place = (node.value.used, !node.end, id);
        let changed = if stands { holding.idle.insert(place) } else { holding.idle.remove(&place) };
        assert!(changed, "a tenant's order is out of step");
    }

    /// Blocks of each tenant that has any, where tenants have shares.
    pub fn blocks_by_tenant(&self) -> BTreeMap<TenantId, u64> {
        let tenants = self.quotas.iter().flat_map(|quotas| &quotas.tenants);
        tenants.map(|(&tenant, holding)| (tenant, holding.resident)).collect()
    }

    /// At rest: every tenant's blocks and orders are what its runs say.
    pub(super) fn check_quotas(&self) {
        let Some(quotas) = &self.quotas else { return };
        let mut counted: BTreeMap<TenantId, (u64, usize)> = BTreeMap::new();
        for (_, node) in self.tree.iter() {
            let Some(owner) = node.value.owner else { continue };
            let count = counted.entry(owner.tenant).or_default();
            count.0 += u64::from(node.len());
            count.1 += usize::from(node.value.pins == 0);
        }
        let told = quotas.tenants.iter().map(|(&t, held)| (t, (held.resident, held.idle.len())));
        assert_eq!(counted, told.collect(), "tenants' blocks miscounted");
    }
}
