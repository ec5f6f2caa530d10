//! room

use super::block_store::BlockStore;
use super::run::{HBM, Run, idle, tiers_of};
use crate::engine::profile::Fill;
use crate::event::KvEvent;
use crate::id::TierId;
use crate::runs::NodeId;
use crate::time::Instant;

impl BlockStore {
    /// Pins a run up to block `to`, splitting off what lies behind.
    pub(super) fn hold(&mut self, id: NodeId, to: u32) -> NodeId {
        let part = if to < self.tree.get(id).end { self.split(id, to) } else { id };
        if self.tree.get(part).value.pins == 0 {
            self.take_from_orders(part);
        }
        let run = &mut self.tree.get_mut(part).value;
        run.pins += 1;
        // The one that made it let go of it before, or computes on beside this one.
        run.reused = true;
        part
    }

    pub(super) fn let_go(&mut self, id: NodeId) {
        let run = &mut self.tree.get_mut(id).value;
        run.pins -= 1;
        run.used = self.releases;
        if run.pins == 0 {
            self.put_into_orders(id);
        }
    }

    /// The part before `at` becomes a run of its own.
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

    /// The same of a run that stands in no order.
    fn split_off(&mut self, id: NodeId, at: u32) -> NodeId {
        let head = self.tree.split(id, at);
        let run = &mut self.tree.get_mut(head).value;
        let copies = run.tiers;
        run.below = core::array::from_fn(|tier| u32::from(copies >> tier & 1));
        head
    }

    /// A run counts as reused, and with it all before it.
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

    pub(super) fn put_into_orders(&mut self, id: NodeId) {
        let idle = idle(id, self.tree.get(id));
        for tier in tiers_of(node_tiers(self, id)) {
            self.tiers[tier].put(idle);
        }
        self.stand(id, true);
    }

    pub(super) fn take_from_orders(&mut self, id: NodeId) {
        let idle = idle(id, self.tree.get(id));
        for tier in tiers_of(node_tiers(self, id)) {
            self.tiers[tier].take(&idle);
        }
        self.stand(id, false);
    }

    /// A run that nobody holds stands among its tenant's, or does not any more.
    fn stand(&mut self, id: NodeId, stands: bool) {
        let Some(quotas) = &mut self.quotas else { return };
        let node = self.tree.get(id);
        let Some(owner) = node.value.owner else { return };
        let holding = quotas.tenants.get_mut(&owner.tenant).expect("it has blocks");
        let place = (node.value.used, !node.end, id);
        let changed = if stands { holding.idle.insert(place) } else { holding.idle.remove(&place) };
        assert!(changed, "a tenant's order is out of step");
    }

    /// Throws blocks out of HBM until `blocks` are free.
    pub(super) fn make_room(&mut self, now: Instant, blocks: u32) {
        let Some(capacity) = self.tiers[HBM].capacity else { return };
        let free = capacity - self.tiers[HBM].resident - self.reserved;
        let mut missing = u64::from(blocks).saturating_sub(free);
        while missing > 0 {
            let id = self.victim(HBM).expect("room was promised");
            missing -= self.evict(now, id, HBM, missing);
        }
    }

    /// Throws out what a tier holds beyond its room. All that is left may be held, as on its way to
    /// HBM; then the tier is over for a moment.
    fn shrink(&mut self, now: Instant, tier: usize) {
        while self.tiers[tier].over() > 0 {
            let Some(id) = self.victim(tier) else { return };
            let over = self.tiers[tier].over();
            self.evict(now, id, tier, over);
        }
    }

    pub(super) fn victim(&mut self, tier: usize) -> Option<NodeId> {
        if !core::mem::replace(&mut self.tiers[tier].was_full, true) {
            let stands = |run: &Run| run.pins == 0 && run.tiers & 1 << tier != 0;
            for (id, node) in self.tree.iter().filter(|(_, node)| stands(&node.value)) {
                self.tiers[tier].order.put(idle(id, node));
            }
        }
        let is_leaf = |id| self.tree.get(id).value.below[tier] == 0;
        self.tiers[tier].order.victim(&is_leaf)
    }

    /// Takes up to `most` blocks off the end of a run that nobody holds, out of one tier.
    pub(super) fn evict(&mut self, now: Instant, id: NodeId, tier: usize, most: u64) -> u64 {
        let node = self.tree.get(id);
        let count = u64::from(node.len()).min(most);
        let from = node.end - count as u32;
        self.remember(id, from, tier);
        let home = self.next_home(now, id, tier, count as u32);
        let left = node_tiers(self, id) & !(1 << tier);
        if home.is_none() && left == 0 {
            self.drop_end(id, from, tier);
            return count;
        }
        self.take_from_orders(id);
        let mut there_at = Instant::START;
        if let Some(home) = home {
            self.came(id, from, home);
            there_at = self.tiers[home].write(now, count as u32);
        }
        self.left(id, from, tier);
        let run = &self.tree.get(id).value;
        let tiers = left | home.map_or(0, |home| 1 << home);
        let there_at = run.there_at.max(there_at);
        self.set_end(id, from, Run { tiers, there_at, ..run.clone() });
        if let Some(home) = home {
            self.shrink(now, home);
        }
        count
    }

    /// The rule of a tier is told what leaves it.
    fn remember(&mut self, id: NodeId, from: u32, tier: usize) {
        let Some(stride) = self.tiers[tier].order.landmarks() else { return };
        let node = self.tree.get(id);
        for block in (from.next_multiple_of(stride)..node.end).step_by(stride as usize) {
            self.tiers[tier].order.forget(node.chain.hash(block), node.value.reused);
        }
    }

    /// Where the end of a run goes that leaves `tier`: the next tier behind that fills by spilling.
    /// Nowhere while it is in a nearer tier, or if one before that has it already.
    fn next_home(&mut self, now: Instant, id: NodeId, tier: usize, blocks: u32) -> Option<usize> {
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
                // What others lie behind must stay reachable, also where writing is behind.
                if self.tiers[next].keeps_up(now) || leads_on {
                    return Some(next);
                }
                self.tiers[next].traffic.shed_blocks += u64::from(blocks);
                return None;
            }
        }
        None
    }

    /// The blocks of a run from `from` on are where `moved` says, and with it all goes back into the
    /// orders. A prompt leaves piece by piece, the last first, so they become part of the run that
    /// follows if nobody tells them from it. Else the prompt would fall into a run for each time.
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
                self.tree.get_mut(child).value.there_at = moved.there_at;
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

    /// What follows a run that stands in no order and is told apart from it by nobody becomes one
    /// with it.
    fn join_child(&mut self, id: NodeId) -> NodeId {
        let Some(child) = self.tree.only_child(id) else { return id };
        let (above, below) = (self.tree.get(id), self.tree.get(child));
        if !above.value.is_like(&below.value) || below.chain.base() > above.start {
            return id;
        }
        self.take_from_orders(child);
        let there_at = self.tree.get(id).value.there_at;
        let id = self.tree.join(id);
        self.tree.get_mut(id).value.there_at = there_at;
        id
    }

    /// Forgets the end of a run that nobody holds and that is in this tier only.
    fn drop_end(&mut self, id: NodeId, from: u32, tier: usize) {
        self.take_from_orders(id);
        let node = self.tree.get(id);
        let (start, end, parent) = (node.start, node.end, node.parent);
        let (run, owner) = (node.run(from, end), node.value.owner);
        if self.pool == Some(Fill::Spill) {
            self.puts.push((run.clone(), owner));
        }
        if let Some(quotas) = &mut self.quotas {
            quotas.left(owner, u64::from(end - from));
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

    /// A new run, or one that came back to HBM, is copied to the tiers that are written through. Such
    /// a tier holds whole prefixes, so it takes nothing whose beginning it lacks.
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

    /// Books the writing of a run's last blocks, and makes the room they take.
    pub(super) fn write(&mut self, now: Instant, id: NodeId, blocks: u32, tier: usize) {
        let there_at = self.tiers[tier].write(now, blocks);
        let run = &mut self.tree.get_mut(id).value;
        run.there_at = run.there_at.max(there_at);
        self.shrink(now, tier);
    }

    /// A run that stands in no order has a copy in one tier more.
    pub(super) fn add_tier(&mut self, id: NodeId, tier: usize) {
        let node = self.tree.get_mut(id);
        node.value.tiers |= 1 << tier;
        let (parent, start) = (node.parent, node.start);
        if let Some(parent) = parent {
            self.tree.get_mut(parent).value.below[tier] += 1;
        }
        self.came(id, start, tier);
    }

    /// Blocks from `from` to the end of a run have come to a tier.
    pub(super) fn came(&mut self, id: NodeId, from: u32, tier: usize) {
        let node = self.tree.get(id);
        let (run, owner) = (node.run(from, node.end), node.value.owner);
        if let Some(quotas) = &mut self.quotas {
            quotas.came(owner, u64::from(run.len()));
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
        self.left(id, start, tier);
    }

    /// And of [`BlockStore::came`].
    fn left(&mut self, id: NodeId, from: u32, tier: usize) {
        let node = self.tree.get(id);
        let run = node.run(from, node.end);
        self.tiers[tier].resident -= u64::from(run.len());
        self.events.push(KvEvent::Removed { tier: TierId(tier as u8), run });
    }
}

fn node_tiers(store: &BlockStore, id: NodeId) -> u8 {
    store.tree.get(id).value.tiers
}
