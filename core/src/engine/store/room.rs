//! Eviction: which runs may leave, and where blocks go that leave a tier.

use super::block_store::BlockStore;
use super::run::{HBM, Run, idle, tiers_of};
use crate::engine::profile::Fill;
use crate::event::KvEvent;
use crate::id::TierId;
use crate::runs::NodeId;
use crate::time::Instant;

impl BlockStore {
    /// Pins a run up to block `to`, and splits off the rest.
    pub(super) fn hold(&mut self, id: NodeId, to: u32) -> NodeId {
        let part = if to < self.tree.get(id).end { self.split(id, to) } else { id };
        if self.tree.get(part).value.pins == 0 {
            self.take_from_orders(part);
        }
        let run = &mut self.tree.get_mut(part).value;
        run.pins += 1;
        // Only a second request gets here; the first one pinned the run when it made it.
        run.reused = true;
        part
    }

    /// Unpins a run once. Without a pin it can be evicted.
    pub(super) fn let_go(&mut self, id: NodeId) {
        let run = &mut self.tree.get_mut(id).value;
        run.pins -= 1;
        run.used = self.releases;
        if run.pins == 0 {
            self.put_into_orders(id);
        }
    }

    /// Splits a run at `at`. Returns the part before.
    fn split(&mut self, id: NodeId, at: u32) -> NodeId {
        let idle = self.tree.get(id).value.pins == 0;
        if idle {
            self.take_from_orders(id);
        }
        let head = self.split_off(id, at);
        if idle {
            self.put_into_orders(id);
            self.put_into_orders(head);
        }
        head
    }

    /// As [`BlockStore::split`], for a run in no eviction order.
    fn split_off(&mut self, id: NodeId, at: u32) -> NodeId {
        let head = self.tree.split(id, at);
        let run = &mut self.tree.get_mut(head).value;
        let copies = run.tiers;
        run.below = core::array::from_fn(|tier| u32::from(copies >> tier & 1));
        head
    }

    /// Marks a run and all runs before it as reused.
    fn mark_reused(&mut self, id: NodeId) {
        self.tree.get_mut(id).value.reused = true;
        let mut next = self.tree.get(id).parent;
        while let Some(above) = next.filter(|&above| !self.tree.get(above).value.reused) {
            let idle = self.tree.get(above).value.pins == 0;
            if idle {
                self.take_from_orders(above);
            }
            self.tree.get_mut(above).value.reused = true;
            if idle {
                self.put_into_orders(above);
            }
            next = self.tree.get(above).parent;
        }
    }

    /// Lists an unpinned run in the eviction order of each tier that has a copy.
    pub(super) fn put_into_orders(&mut self, id: NodeId) {
        let idle = idle(id, self.tree.get(id));
        for tier in tiers_of(node_tiers(self, id)) {
            self.tiers[tier].put(idle);
        }
        self.list_for_tenant(id, true);
    }

    /// The reverse of [`BlockStore::put_into_orders`]. A run must leave the orders before it
    /// changes.
    pub(super) fn take_from_orders(&mut self, id: NodeId) {
        let idle = idle(id, self.tree.get(id));
        for tier in tiers_of(node_tiers(self, id)) {
            self.tiers[tier].take(&idle);
        }
        self.list_for_tenant(id, false);
    }

    /// Adds an unpinned run to its tenant's order, or removes it.
    fn list_for_tenant(&mut self, id: NodeId, listed: bool) {
        let Some(quotas) = &mut self.quotas else { return };
        let node = self.tree.get(id);
        let Some(owner) = node.value.owner else { return };
        let holding = quotas.tenants.get_mut(&owner.tenant).expect("the owner of a stored run");
        let place = (node.value.used, !node.end, id);
        let changed = if listed { holding.idle.insert(place) } else { holding.idle.remove(&place) };
        assert!(changed, "a tenant's order differs from its runs");
    }

    /// Evicts blocks from HBM until `blocks` are free.
    pub(super) fn make_room(&mut self, now: Instant, blocks: u32) {
        let Some(capacity) = self.tiers[HBM].capacity else { return };
        let free = capacity - self.tiers[HBM].resident - self.reserved;
        let mut missing = u64::from(blocks).saturating_sub(free);
        while missing > 0 {
            let id = self.victim(HBM).expect("the caller checked that there is room");
            missing -= self.evict(now, id, HBM, missing);
        }
    }

    /// Evicts what exceeds a tier's capacity. If all remaining runs are pinned, for example while
    /// they load, the tier exceeds it for a moment.
    fn shrink(&mut self, now: Instant, tier: usize) {
        while self.tiers[tier].over() > 0 {
            let Some(id) = self.victim(tier) else { return };
            let over = self.tiers[tier].over();
            self.evict(now, id, tier, over);
        }
    }

    /// The run that leaves a tier next. The order is built when a tier is full for the first time.
    pub(super) fn victim(&mut self, tier: usize) -> Option<NodeId> {
        if !core::mem::replace(&mut self.tiers[tier].was_full, true) {
            let idle_here = |run: &Run| run.pins == 0 && run.tiers & 1 << tier != 0;
            for (id, node) in self.tree.iter().filter(|(_, node)| idle_here(&node.value)) {
                self.tiers[tier].order.put(idle(id, node));
            }
        }
        let is_leaf = |id| self.tree.get(id).value.below[tier] == 0;
        self.tiers[tier].order.victim(&is_leaf)
    }

    /// Evicts up to `most` blocks at the end of an unpinned run from one tier. Returns how many.
    pub(super) fn evict(&mut self, now: Instant, id: NodeId, tier: usize, most: u64) -> u64 {
        let node = self.tree.get(id);
        let count = u64::from(node.len()).min(most);
        let from = node.end - count as u32;
        if tier == HBM {
            self.evicted += count;
        }
        self.report_evicted(id, from, tier);
        let target = self.next_tier_down(now, id, tier, count as u32);
        let left = node_tiers(self, id) & !(1 << tier);
        if target.is_none() && left == 0 {
            self.forget_end(id, from, tier);
            return count;
        }
        self.take_from_orders(id);
        let mut ready_at = Instant::START;
        if let Some(target) = target {
            self.record_stored(id, from, target);
            ready_at = self.tiers[target].write(now, count as u32);
        }
        self.record_removed(id, from, tier);
        let run = &self.tree.get(id).value;
        let tiers = left | target.map_or(0, |target| 1 << target);
        let ready_at = run.ready_at.max(ready_at);
        self.set_end(id, from, Run { tiers, ready_at, ..run.clone() });
        if let Some(target) = target {
            self.shrink(now, target);
        }
        count
    }

    /// Tells the rule of a tier which blocks leave it.
    fn report_evicted(&mut self, id: NodeId, from: u32, tier: usize) {
        let Some(stride) = self.tiers[tier].order.landmarks() else { return };
        let node = self.tree.get(id);
        for block in (from.next_multiple_of(stride)..node.end).step_by(stride as usize) {
            self.tiers[tier].order.forget(node.chain.hash(block), node.value.reused);
        }
    }

    /// The tier for blocks that leave `tier`: the next one that fills by spilling. None if a nearer
    /// tier has a copy, or a tier on the way there.
    fn next_tier_down(
        &mut self,
        now: Instant,
        id: NodeId,
        tier: usize,
        blocks: u32,
    ) -> Option<usize> {
        let node = self.tree.get(id);
        let (held, leads_on) = (node.value.tiers, node.children > 0);
        if held & ((1 << tier) - 1) != 0 {
            return None;
        }
        for next in tier + 1..self.tiers.len() {
            if held & (1 << next) != 0 {
                return None;
            }
            if self.tiers[next].fill == Fill::Spill {
                // The parent of other runs must stay, even if the tier can't keep up with writes.
                if self.tiers[next].keeps_up(now) || leads_on {
                    return Some(next);
                }
                self.tiers[next].traffic.shed_blocks += u64::from(blocks);
                return None;
            }
        }
        None
    }

    /// Changes the state of a run from block `from` on, and lists the parts in the orders again.
    /// A prompt leaves in pieces from its end, so each piece joins the run after it if both are in
    /// the same state. Otherwise the prompt would become one run for each piece.
    fn set_end(&mut self, id: NodeId, from: u32, moved: Run) {
        let only_child = self.tree.only_child(id);
        let alike = |&child: &NodeId| {
            let child = self.tree.get(child);
            moved.is_like(&child.value) && child.chain.base() <= from
        };
        if from > self.tree.get(id).start {
            if let Some(child) = only_child.filter(alike) {
                self.take_from_orders(child);
                self.tree.hand_down(id, from);
                self.tree.get_mut(child).value.ready_at = moved.ready_at;
                self.put_into_orders(id);
                self.put_into_orders(child);
                return;
            }
            let head = self.split_off(id, from);
            self.put_into_orders(head);
        }
        let node = self.tree.get_mut(id);
        let before = core::mem::replace(&mut node.value, moved).tiers;
        let (now, parent) = (node.value.tiers, node.parent);
        if let Some(parent) = parent {
            let below = &mut self.tree.get_mut(parent).value.below;
            tiers_of(before & !now).for_each(|tier| below[tier] -= 1);
            tiers_of(now & !before).for_each(|tier| below[tier] += 1);
        }
        let id = self.join_child(id);
        self.put_into_orders(id);
    }

    /// Merges a run in no order with its only child, if both are in the same state. Returns the
    /// merged run.
    fn join_child(&mut self, id: NodeId) -> NodeId {
        let Some(child) = self.tree.only_child(id) else { return id };
        let (above, below) = (self.tree.get(id), self.tree.get(child));
        if !above.value.is_like(&below.value) || below.chain.base() > above.start {
            return id;
        }
        self.take_from_orders(child);
        let ready_at = self.tree.get(id).value.ready_at;
        let id = self.tree.join(id);
        self.tree.get_mut(id).value.ready_at = ready_at;
        id
    }

    /// Removes the end of an unpinned run whose only copy is in `tier`.
    pub(super) fn forget_end(&mut self, id: NodeId, from: u32, tier: usize) {
        self.take_from_orders(id);
        let node = self.tree.get(id);
        let (start, end, parent) = (node.start, node.end, node.parent);
        let (run, owner) = (node.run(from, end), node.value.owner);
        if self.pool == Some(Fill::Spill) {
            self.puts.push((run.clone(), owner));
        }
        if let Some(quotas) = &mut self.quotas {
            quotas.record_removed(owner, u64::from(end - from));
        }
        self.events.push(KvEvent::Removed { tier: TierId(tier as u8), run });
        self.tiers[tier].resident -= u64::from(end - from);
        self.tree.truncate(id, from);
        if from > start {
            self.put_into_orders(id);
        } else if let Some(parent) = parent {
            self.tree.get_mut(parent).value.below[tier] -= 1;
        }
    }

    /// Copies a run that is new in HBM to the tiers that are written through. Such a tier holds
    /// whole prefixes, so it takes no run whose parent it lacks.
    pub(super) fn write_through(&mut self, now: Instant, id: NodeId) {
        for tier in 1..self.tiers.len() {
            let node = self.tree.get(id);
            let (held, blocks) = (node.value.tiers, node.len());
            let above = node.parent.map_or(u8::MAX, |parent| self.tree.get(parent).value.tiers);
            let behind = &mut self.tiers[tier];
            let lacks = held & (1 << tier) == 0 && above & (1 << tier) != 0;
            if behind.fill != Fill::WriteThrough || !lacks {
                continue;
            }
            if behind.takes_copy(now, blocks) {
                self.add_tier(id, tier);
                self.write(now, id, blocks, tier);
            } else {
                behind.traffic.shed_blocks += u64::from(blocks);
            }
        }
    }

    /// Starts to write the last `blocks` blocks of a run to `tier`, and makes room for them.
    pub(super) fn write(&mut self, now: Instant, id: NodeId, blocks: u32, tier: usize) {
        let ready_at = self.tiers[tier].write(now, blocks);
        let run = &mut self.tree.get_mut(id).value;
        run.ready_at = run.ready_at.max(ready_at);
        self.shrink(now, tier);
    }

    /// Adds a copy in `tier` to a run in no order.
    pub(super) fn add_tier(&mut self, id: NodeId, tier: usize) {
        let node = self.tree.get_mut(id);
        node.value.tiers |= 1 << tier;
        let (parent, start) = (node.parent, node.start);
        if let Some(parent) = parent {
            self.tree.get_mut(parent).value.below[tier] += 1;
        }
        self.record_stored(id, start, tier);
    }

    /// Records that the blocks from `from` to the end of a run are in `tier` now.
    pub(super) fn record_stored(&mut self, id: NodeId, from: u32, tier: usize) {
        let node = self.tree.get(id);
        let (run, owner) = (node.run(from, node.end), node.value.owner);
        if let Some(quotas) = &mut self.quotas {
            quotas.record_stored(owner, u64::from(run.len()));
        }
        let behind = &mut self.tiers[tier];
        behind.resident += u64::from(run.len());
        let mut regretted = false;
        if let Some(stride) = behind.order.landmarks() {
            for block in (from.next_multiple_of(stride)..run.end).step_by(stride as usize) {
                regretted |= behind.order.recall(run.chain.hash(block));
            }
        }
        if regretted {
            self.mark_reused(id);
        }
        self.events.push(KvEvent::Stored { tier: TierId(tier as u8), run });
    }

    /// The reverse of [`BlockStore::add_tier`].
    pub(super) fn drop_tier(&mut self, id: NodeId, tier: usize) {
        let node = self.tree.get_mut(id);
        node.value.tiers &= !(1 << tier);
        let (parent, start) = (node.parent, node.start);
        if let Some(parent) = parent {
            self.tree.get_mut(parent).value.below[tier] -= 1;
        }
        self.record_removed(id, start, tier);
    }

    /// The reverse of [`BlockStore::record_stored`].
    fn record_removed(&mut self, id: NodeId, from: u32, tier: usize) {
        let node = self.tree.get(id);
        let run = node.run(from, node.end);
        self.tiers[tier].resident -= u64::from(run.len());
        self.events.push(KvEvent::Removed { tier: TierId(tier as u8), run });
    }
}

/// A bit for each tier that has a copy of a run.
fn node_tiers(store: &BlockStore, id: NodeId) -> u8 {
    store.tree.get(id).value.tiers
}
