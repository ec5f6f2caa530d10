//! Sources come to hold blocks and give them up: nodes are split where holders differ, and joined
//! where they don't any more.

use super::digests::Change;
use super::{Holder, Holders, PrefixIndex};
use crate::block::{BlockRun, Chain};
use crate::id::TierId;
use crate::runs::{ANCHOR, NodeId, anchor_above};
use smallvec::SmallVec;
use std::sync::Arc;

impl PrefixIndex {
    /// On failure, the depth whose parent is missing.
    pub(super) fn store(&mut self, slot: u16, tier: TierId, run: &BlockRun) -> Result<(), u32> {
        if run.is_empty() {
            return Ok(());
        }
        let (mut parent, chain) = match run.start {
            0 => (None, Arc::clone(&run.chain)),
            start => {
                let above = self.tree.locate(&run.chain, start - 1).ok_or(start)?;
                (Some(above), self.known_above(above, run).ok_or(start)?)
            }
        };
        let mut depth = run.start;
        while depth < run.end {
            // What comes next on the way is either inside the parent, or a node below it.
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
            self.tidy(last, run.start);
        }
        Ok(())
    }

    /// The chain of a run below a node, with no names before the run but those that are the node's path's
    /// too. None if one is not: whoever sends such a run is wrong, and others would be taken for what it
    /// says when nodes are joined.
    fn known_above(&self, above: NodeId, run: &BlockRun) -> Option<Arc<Chain>> {
        // A described text can't be wrong about itself.
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

    /// Joins what nobody tells apart any more, on the path that ends with a node: it with what
    /// follows, and each node that begins at block `start` or behind it with the one before. Without
    /// it a prompt would fall into a node for each time that a part of it was thrown out.
    fn tidy(&mut self, last: NodeId, start: u32) {
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

    /// Whether the same sources hold a node and its child, whose chain names the blocks of both.
    fn are_alike(&self, parent: NodeId, child: NodeId) -> bool {
        let (parent, child) = (self.tree.get(parent), self.tree.get(child));
        parent.value == child.value && child.chain.base() <= parent.start
    }

    /// Adds a claim on blocks `from..to` of a node, and gives back the node that ends at `to`.
    fn mark(&mut self, id: NodeId, from: u32, to: u32, slot: u16, tier: TierId) -> NodeId {
        let bit = 1 << tier.0;
        let node = self.tree.get(id);
        if holds(&node.value, slot, tier) {
            return id;
        }
        let part = self.isolate(id, from, to);
        self.note(slot, tier, part, Change::Came);
        let holders = &mut self.tree.get_mut(part).value;
        match holders.binary_search_by_key(&slot, |holder| holder.slot) {
            Ok(i) => holders[i].tiers |= bit,
            Err(i) => holders.insert(i, Holder { slot, tiers: bit }),
        }
        part
    }

    /// Splits a node until `from..to` of it is a node of its own.
    fn isolate(&mut self, id: NodeId, from: u32, to: u32) -> NodeId {
        if from > self.tree.get(id).start {
            self.tree.split(id, from);
        }
        if to < self.tree.get(id).end { self.tree.split(id, to) } else { id }
    }

    /// New blocks at the end of a path: they lengthen its last node where nobody could tell.
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
        self.note_run(slot, tier, chain, (start, end), Change::Came);
        if let Some(id) = parent {
            let node = self.tree.get(id);
            let alike = node.value.as_slice() == [claim] && node.children == 0;
            if alike && node.end == start {
                if Arc::ptr_eq(&node.chain, chain) {
                    self.tree.extend(id, end);
                    return id;
                }
                // Each event off the wire has a chain of its own, and an answer comes block by
                // block. Short runs are written anew as one, so that an answer is not a node a
                // block; the limit bounds what is copied.
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
        // From the far end, so that a node is childless when its turn comes.
        let mut parts: SmallVec<[NodeId; 8]> = SmallVec::new();
        let mut next = Some(deepest);
        while let Some(id) = next {
            let node = self.tree.get(id);
            let (from, to) = (node.start.max(run.start), node.end.min(end));
            next = node.parent.filter(|_| node.start > run.start);
            if holds(&node.value, slot, tier) {
                let part = self.isolate(id, from, to);
                self.note(slot, tier, part, Change::Went);
                parts.push(part);
            }
        }
        // What is left of the path: up to the deepest part that others hold still.
        let (mut left, mut stays) = (None, false);
        for &id in &parts {
            let kept = self.drop_claim(id, slot, bit);
            if !stays {
                (left, stays) = (kept, kept == Some(id));
            }
        }
        if let Some(left) = left {
            self.tidy(left, run.start);
        }
    }

    /// What a source held in one tier lies in another now, which costs a fraction of storing and
    /// removing it. False, and nothing has changed, if it did not hold all of it there.
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
            self.note(slot, from, part, Change::Went);
            if !holds(&self.tree.get(part).value, slot, to) {
                self.note(slot, to, part, Change::Came);
            }
            move_claim(&mut self.tree.get_mut(part).value, slot, from, to);
            last.get_or_insert(part);
        }
        self.tidy(last.expect("the run has blocks"), run.start);
        true
    }

    /// The same where a prompt moves piece by piece, the last first: the end of a node becomes part
    /// of what moved before it.
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
            self.note_run(slot, from, &chain, blocks, Change::Went);
            if !had {
                self.note_run(slot, to, &chain, blocks, Change::Came);
            }
            self.tree.hand_down(id, run.start);
        }
        fits
    }

    /// Whether a source holds a node in a tier, and the path before it back to block `start`.
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

    /// How far a run is here, and the node that holds its last block that is. What a source removes
    /// ends with a node as a rule, and is found at once.
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

    /// Gives back the node, or if it is gone the deepest one above that is left.
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
    holders.iter().any(|holder| holder.slot == slot && holder.tiers & 1 << tier.0 != 0)
}

/// Of a source that holds it.
fn move_claim(holders: &mut Holders, slot: u16, from: TierId, to: TierId) {
    for holder in holders.iter_mut().filter(|holder| holder.slot == slot) {
        holder.tiers = holder.tiers & !(1 << from.0) | 1 << to.0;
    }
}
