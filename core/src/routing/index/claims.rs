//! Adds and removes the claims of sources on blocks. Nodes are split where holders differ, and
//! joined where holders are equal again.

use super::digests::Change;
use super::state::{Holder, Holders, PrefixIndex};
use crate::block::{BlockRun, Chain};
use crate::id::TierId;
use crate::runs::{ANCHOR, NodeId, anchor_above};
use smallvec::SmallVec;
use std::sync::Arc;

impl PrefixIndex {
    /// Adds a claim on a run. The error is the first block of a run whose parent is missing.
    pub(super) fn store(&mut self, slot: u16, tier: TierId, run: &BlockRun) -> Result<(), u32> {
        if run.is_empty() {
            return Ok(());
        }
        let (mut parent, chain) = match run.start {
            0 => (None, Arc::clone(&run.chain)),
            start => {
                let above = self.tree.locate(&run.chain, start - 1).ok_or(start)?;
                (Some(above), self.verified_chain(above, run).ok_or(start)?)
            }
        };
        let mut depth = run.start;
        while depth < run.end {
            // The next block is inside the parent, or in a node below it.
            let inside = parent.filter(|&id| self.tree.get(id).end > depth);
            let next = match inside {
                Some(id) => {
                    let agreed = self.tree.agreed(id, &chain, depth, run.end);
                    (agreed > depth).then_some((id, agreed))
                }
                None => self.tree.follow_below(parent, &chain, depth, run.end),
            };
            match next {
                Some((id, agreed)) => {
                    parent = Some(self.mark(id, depth, agreed, slot, tier));
                    depth = agreed;
                }
                None => {
                    if let Some(id) = inside {
                        parent = Some(self.tree.split(id, depth));
                    }
                    parent = Some(self.grow(parent, &chain, depth, run.end, slot, tier));
                    depth = run.end;
                }
            }
        }
        if let Some(last) = parent {
            self.join_path(last, run.start);
        }
        Ok(())
    }

    /// The chain of a run below the node `above`. None if the chain has other hashes before the run
    /// than the path of that node: the sender is wrong, and a join would spread the wrong hashes to
    /// the blocks of other sources.
    fn verified_chain(&self, above: NodeId, run: &BlockRun) -> Option<Arc<Chain>> {
        // The hashes of a described text are computed here, so they need no check.
        if run.chain.is_described() || Arc::ptr_eq(&self.tree.get(above).chain, &run.chain) {
            return Some(Arc::clone(&run.chain));
        }
        let chain = run.chain.named_from(anchor_above(run.start));
        let (mut next, mut end) = (Some(above), run.start);
        while let Some(id) = next.filter(|_| end > chain.base()) {
            let node = self.tree.get(id);
            let mut blocks = node.start.max(chain.base())..end;
            if blocks.any(|block| node.chain.hash(block) != chain.hash(block)) {
                return None;
            }
            (next, end) = (node.parent, node.start);
        }
        Some(chain)
    }

    /// Joins nodes with equal holders on the path that ends with `last`: `last` with its child, and
    /// each node that starts at block `start` or later with its parent. Without it a prompt would
    /// become one more node each time a part of it is evicted.
    fn join_path(&mut self, last: NodeId, start: u32) {
        let mut id = match self.tree.only_child(last) {
            Some(child) if self.are_alike(last, child) => self.tree.join(last),
            _ => last,
        };
        while let Some(parent) =
            self.tree.get(id).parent.filter(|_| self.tree.get(id).start >= start)
        {
            let only = self.tree.get(parent).children == 1;
            id = if only && self.are_alike(parent, id) { self.tree.join(parent) } else { parent };
        }
    }

    /// Whether a node and its child can be joined: equal holders, and the child's chain has the
    /// hashes of both.
    fn are_alike(&self, parent: NodeId, child: NodeId) -> bool {
        let (parent, child) = (self.tree.get(parent), self.tree.get(child));
        parent.value == child.value && child.chain.base() <= parent.start
    }

    /// Adds a claim on blocks `from..to` of a node, and returns the node that ends at `to`.
    fn mark(&mut self, id: NodeId, from: u32, to: u32, slot: u16, tier: TierId) -> NodeId {
        let bit = 1 << tier.0;
        let node = self.tree.get(id);
        if holds(&node.value, slot, tier) {
            return id;
        }
        let part = self.isolate(id, from, to);
        self.update_digest(slot, tier, part, Change::Added);
        let holders = &mut self.tree.get_mut(part).value;
        match holders.binary_search_by_key(&slot, |holder| holder.slot) {
            Ok(i) => holders[i].tiers |= bit,
            Err(i) => holders.insert(i, Holder { slot, tiers: bit }),
        }
        part
    }

    /// Splits a node so that the blocks `from..to` are a node of their own. Returns that node.
    fn isolate(&mut self, id: NodeId, from: u32, to: u32) -> NodeId {
        if from > self.tree.get(id).start {
            self.tree.split(id, from);
        }
        if to < self.tree.get(id).end { self.tree.split(id, to) } else { id }
    }

    /// Adds new blocks at the end of a path. Extends the last node if it has no other holder.
    fn grow(
        &mut self,
        parent: Option<NodeId>,
        chain: &Arc<Chain>,
        start: u32,
        end: u32,
        slot: u16,
        tier: TierId,
    ) -> NodeId {
        let claim = Holder { slot, tiers: 1 << tier.0 };
        self.update_digest_run(slot, tier, chain, (start, end), Change::Added);
        if let Some(id) = parent {
            let node = self.tree.get(id);
            let alike = node.value.as_slice() == [claim] && node.children == 0;
            if alike && node.end == start {
                if Arc::ptr_eq(&node.chain, chain) {
                    self.tree.extend(id, end);
                    return id;
                }
                // Each event from a worker has its own chain, and an answer grows block by block.
                // Short runs are merged into one chain; otherwise each block of an answer would be a
                // node. The limit bounds the copying.
                if end - node.start <= ANCHOR {
                    let own = (node.start..node.end).map(|block| node.chain.hash(block));
                    let hashes = own.chain((start..end).map(|block| chain.hash(block))).collect();
                    let merged = Chain::from_wire(chain.block_size(), node.start, hashes);
                    self.tree.rewrite(id, Arc::new(merged));
                    self.tree.extend(id, end);
                    return id;
                }
            }
        }
        let run = BlockRun { chain: Arc::clone(chain), start, end };
        self.tree.insert(parent, run, Holders::from_slice(&[claim]))
    }

    pub(super) fn remove(&mut self, slot: u16, tier: TierId, run: &BlockRun) {
        if run.is_empty() {
            return;
        }
        let bit = 1 << tier.0;
        let Some((deepest, end)) = self.deepest(run) else { return };
        // From the last block back, so that each node has lost its children when it is removed.
        let mut parts: SmallVec<[NodeId; 8]> = SmallVec::new();
        let mut next = Some(deepest);
        while let Some(id) = next {
            let node = self.tree.get(id);
            let (from, to) = (node.start.max(run.start), node.end.min(end));
            next = node.parent.filter(|_| node.start > run.start);
            if holds(&node.value, slot, tier) {
                let part = self.isolate(id, from, to);
                self.update_digest(slot, tier, part, Change::Removed);
                parts.push(part);
            }
        }
        // The path now ends with the deepest part that has other holders.
        let (mut left, mut stays) = (None, false);
        for &id in &parts {
            let kept = self.drop_claim(id, slot, bit);
            if !stays {
                (left, stays) = (kept, kept == Some(id));
            }
        }
        if let Some(left) = left {
            self.join_path(left, run.start);
        }
    }

    /// Moves a source's claim on a run from one tier to another, much cheaper than storing and
    /// removing. Returns false and changes nothing if the source did not hold the whole run.
    pub(super) fn shift(&mut self, slot: u16, run: &BlockRun, from: TierId, to: TierId) -> bool {
        let Some((deepest, end)) = self.deepest(run) else { return false };
        if end < run.end || !self.is_held(deepest, run.start, slot, from) {
            return false;
        }
        if self.shift_end(deepest, slot, run, from, to) {
            return true;
        }
        let (mut next, mut last) = (Some(deepest), None);
        while let Some(id) = next {
            let node = self.tree.get(id);
            let (from_block, to_block) = (node.start.max(run.start), node.end.min(run.end));
            next = node.parent.filter(|_| node.start > run.start);
            let part = self.isolate(id, from_block, to_block);
            self.update_digest(slot, from, part, Change::Removed);
            if !holds(&self.tree.get(part).value, slot, to) {
                self.update_digest(slot, to, part, Change::Added);
            }
            move_claim(&mut self.tree.get_mut(part).value, slot, from, to);
            last.get_or_insert(part);
        }
        self.join_path(last.expect("the run has blocks"), run.start);
        true
    }

    /// The same for a prompt that moves piece by piece from its end: the end of a node joins the
    /// child that moved before.
    fn shift_end(
        &mut self,
        id: NodeId,
        slot: u16,
        run: &BlockRun,
        from: TierId,
        to: TierId,
    ) -> bool {
        let node = self.tree.get(id);
        let Some(child) = self.tree.only_child(id) else { return false };
        if run.start <= node.start || run.end != node.end {
            return false;
        }
        let child = self.tree.get(child);
        let mut moved = node.value.clone();
        move_claim(&mut moved, slot, from, to);
        let fits = child.value == moved && child.chain.base() <= run.start;
        if fits {
            let (chain, had) = (Arc::clone(&node.chain), holds(&node.value, slot, to));
            let blocks = (run.start, run.end);
            self.update_digest_run(slot, from, &chain, blocks, Change::Removed);
            if !had {
                self.update_digest_run(slot, to, &chain, blocks, Change::Added);
            }
            self.tree.hand_down(id, run.start);
        }
        fits
    }

    /// Whether a source holds a node and the path above it back to block `start`, in one tier.
    fn is_held(&self, last: NodeId, start: u32, slot: u16, tier: TierId) -> bool {
        let mut next = Some(last);
        while let Some(id) = next {
            let node = self.tree.get(id);
            if !holds(&node.value, slot, tier) {
                return false;
            }
            next = node.parent.filter(|_| node.start > start);
        }
        true
    }

    /// The node with the last block of a run that the tree has, and the block after it. A removed run
    /// usually ends with a node, so the first look-up finds it.
    fn deepest(&self, run: &BlockRun) -> Option<(NodeId, u32)> {
        if let Some(id) = self.tree.registered(&run.chain, run.end - 1) {
            return Some((id, run.end));
        }
        let mut id = self.tree.locate(&run.chain, run.start)?;
        let mut end = self.tree.agreed(id, &run.chain, run.start + 1, run.end);
        while end == self.tree.get(id).end
            && let Some(further) = self.tree.follow(&run.chain, end, run.end)
        {
            (id, end) = further;
        }
        Some((id, end))
    }

    /// Removes tiers from a source's claim on a node, and then the nodes without a holder. Returns the
    /// node or, if it was removed, the deepest node left above it.
    pub(super) fn drop_claim(&mut self, id: NodeId, slot: u16, bits: u8) -> Option<NodeId> {
        let holders = &mut self.tree.get_mut(id).value;
        if let Ok(i) = holders.binary_search_by_key(&slot, |holder| holder.slot) {
            holders[i].tiers &= !bits;
            if holders[i].tiers == 0 {
                holders.remove(i);
            }
        }
        let mut empty = Some(id);
        while let Some(id) = empty {
            let node = self.tree.get(id);
            if !node.value.is_empty() || node.children > 0 {
                break;
            }
            let start = node.start;
            empty = self.tree.truncate(id, start);
        }
        empty
    }
}

fn holds(holders: &Holders, slot: u16, tier: TierId) -> bool {
    let place = holders.binary_search_by_key(&slot, |holder| holder.slot);
    place.is_ok_and(|i| holders[i].tiers & 1 << tier.0 != 0)
}

/// Moves the claim of a source that is one of the holders.
fn move_claim(holders: &mut Holders, slot: u16, from: TierId, to: TierId) {
    for holder in holders.iter_mut().filter(|holder| holder.slot == slot) {
        holder.tiers = holder.tiers & !(1 << from.0) | 1 << to.0;
    }
}
