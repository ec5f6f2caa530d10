//! Blocks that were computed elsewhere: what a pool keeps, and with quotas, for which tenant.
//!
//! A run names the block that it continues, so the store finds its place by that name and does
//! not walk the path.

use super::block_store::BlockStore;
use super::find::{Path, Plan};
use super::lease::{Acquired, NoRoom};
use super::run::{HBM, Run};
use crate::block::BlockRun;
use crate::id::TenantId;
use crate::request::Owner;
use crate::runs::{NodeId, anchor_above};
use crate::time::Instant;
use smallvec::SmallVec;

type HeldRuns = SmallVec<[NodeId; 16]>;

impl BlockStore {
    /// Stores a run and marks the path before it as used. Returns the number of new blocks. For a
    /// store without tiers behind its memory.
    pub fn keep(&mut self, now: Instant, run: &BlockRun) -> Result<u32, NoRoom> {
        let path = self.path(&run.chain, run.start, run.end);
        let here = path.last().map_or(0, |&(_, end)| end);
        let new = run.end.saturating_sub(here);
        // The path before the new blocks can't be evicted for them.
        if u64::from(new) + self.idle_of(&path) > self.available() {
            return Err(NoRoom);
        }
        let held: HeldRuns = path.iter().map(|&(id, end)| self.hold(id, end)).collect();
        self.make_room(now, new);
        self.releases += 1;
        for &part in &held {
            self.let_go(part);
        }
        if new > 0 {
            // The place is known, so the chain keeps only the names that an event needs.
            let chain = run.chain.named_from(anchor_above(here));
            let rest = BlockRun { chain, start: here, end: run.end };
            self.insert_unowned(held.last().copied(), rest);
        }
        Ok(new)
    }

    /// Blocks of a path that no lease holds.
    fn idle_of(&self, path: &Path) -> u64 {
        let (mut idle, mut start) = (0, 0);
        for &(id, end) in path {
            let held = self.tree.get(id).value.pins > 0;
            idle += if held { 0 } else { u64::from(end - start) };
            start = end;
        }
        idle
    }

    /// Adds blocks without an owner after a run. They extend it if both are in the same state.
    fn insert_unowned(&mut self, parent: Option<NodeId>, run: BlockRun) {
        let (start, end) = (run.start, run.end);
        let lengthens = |&id: &NodeId| {
            let node = self.tree.get(id);
            node.value.pins == 0 && node.children == 0 && node.chain.is_same(&run.chain)
        };
        let id = if let Some(id) = parent.filter(lengthens) {
            self.take_from_orders(id);
            self.tree.extend(id, end);
            self.record_stored(id, start, HBM);
            id
        } else {
            let value = Run { pins: 0, used: self.releases, ..Run::new() };
            let id = self.tree.insert(parent, run, value);
            self.add_tier(id, HBM);
            id
        };
        self.put_into_orders(id);
    }

    /// As [`BlockStore::keep`], for a store with quotas. New blocks belong to `owner`; None: to no
    /// tenant. Stores only the first blocks if the rest does not fit the tenant's share.
    pub fn keep_of(
        &mut self,
        now: Instant,
        run: &BlockRun,
        owner: Option<Owner>,
    ) -> Result<u32, NoRoom> {
        let found = self.find(&run.chain, run.start, run.end);
        let plan = Plan { end: found.coming, offer: None };
        // A lease on the path before protects it from eviction.
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

    /// Makes room for `new` blocks of a tenant. Returns how many of them fit.
    fn make_room_of(&mut self, now: Instant, putter: Option<TenantId>, new: u64) -> u64 {
        let Some(capacity) = self.tiers[HBM].capacity else { return new };
        let mut new = new;
        loop {
            let free = capacity - self.tiers[HBM].resident - self.reserved;
            let missing = new.saturating_sub(free);
            if missing == 0 {
                return new;
            }
            let quotas = self.quotas.as_ref().expect("a store with quotas");
            let over = quotas.over(putter, new);
            let spare =
                putter.map_or(u64::MAX, |tenant| quotas.share.saturating_sub(quotas.held(tenant)));
            let of = |&(most, tenant): &(u64, TenantId)| Some((self.oldest_of(tenant)?, most));
            if let Some((id, most)) = over.iter().find_map(of) {
                self.evict(now, id, HBM, missing.min(most));
            } else if new > spare {
                // The tenant can evict none of its own blocks, and others don't yield to an excess.
                new = free.max(spare);
            } else if let Some(id) = self.victim(HBM) {
                self.evict(now, id, HBM, missing);
            } else {
                return free;
            }
        }
    }

    /// The least recently used run of a tenant without a lease and without children.
    fn oldest_of(&self, tenant: TenantId) -> Option<NodeId> {
        let idle = &self.quotas.as_ref()?.tenants.get(&tenant)?.idle;
        let is_leaf = |id: &NodeId| self.tree.get(*id).value.below[HBM] == 0;
        idle.iter().map(|&(_, _, id)| id).find(is_leaf)
    }
}
