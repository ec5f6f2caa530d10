//! Which source holds which prefix, in which tier. Exact: a block removed in the middle and stored
//! again restores the whole depth.
//!
//! Each node of the forest lists its holders, and all of them hold all of its blocks; where that
//! stops being true the node is split.

use crate::block::{BlockRun, Chain, TokenBlocks};
use crate::event::{Digest, KvBatch, KvEvent, Snapshot};
use crate::id::{MAX_TIERS, SourceId, TierId};
use crate::runs::{ANCHOR, NodeId, RunTree};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much of one prompt each source holds, in blocks from the prompt's start without a gap.
/// Sources that hold nothing of it are not listed; the others stand in ascending order.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Overlap {
    entries: Vec<SourceOverlap>,
    /// Of the sources that hold everything so far, while a look-up goes on: slot and place among
    /// the entries. Empty otherwise.
    #[serde(skip)]
    going: Vec<(u16, u16)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceOverlap {
    pub source: SourceId,
    /// Each block counted once, in the nearest tier that has it.
    pub by_tier: [u32; MAX_TIERS],
    /// Of the nearest tier, blocks that are not there yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pending: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl SourceOverlap {
    pub fn blocks(&self) -> u32 {
        self.by_tier.iter().fold(0, |sum, &blocks| sum.saturating_add(blocks))
    }

    /// Blocks that another could fetch from there now.
    pub fn resident(&self) -> u32 {
        self.blocks().saturating_sub(self.pending)
    }
}

impl Overlap {
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn entries(&self) -> &[SourceOverlap] {
        &self.entries
    }

    pub fn get(&self, source: SourceId) -> Option<&SourceOverlap> {
        let place = self.entries.binary_search_by_key(&source, |entry| entry.source);
        place.ok().map(|i| &self.entries[i])
    }

    /// Raises what `source` will hold in HBM to `blocks` in all, where it is less.
    pub fn raise(&mut self, source: SourceId, blocks: u32) {
        match self.entries.binary_search_by_key(&source, |entry| entry.source) {
            Ok(i) => {
                let more = blocks.saturating_sub(self.entries[i].blocks());
                self.entries[i].by_tier[0] += more;
                self.entries[i].pending += more;
            }
            Err(i) => {
                let mut by_tier = [0; MAX_TIERS];
                by_tier[0] = blocks;
                self.entries.insert(i, SourceOverlap { source, by_tier, pending: blocks });
            }
        }
    }
}

/// An update does not follow the one before it: the shell must fetch a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SequenceGap {
    #[error("{source_id} is not known; a snapshot must come first")]
    UnknownSource { source_id: SourceId },
    #[error("{source_id} sent batch {got} of epoch {got_epoch}, expected {expected} of {epoch}")]
    Missing { source_id: SourceId, epoch: u64, expected: u64, got_epoch: u64, got: u64 },
    #[error("{source_id} stored blocks below a block that it does not hold, at depth {depth}")]
    UnknownParent { source_id: SourceId, depth: u32 },
}

/// One source's claim on a node: a slot of the source table and a bit for each tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Holder {
    slot: u16,
    tiers: u8,
}

/// Ascending by slot.
type Holders = SmallVec<[Holder; 4]>;

#[derive(Clone, Debug)]
struct SourceState {
    slot: u16,
    epoch: u64,
    seq: u64,
}

#[derive(Clone, Debug, Default)]
pub struct PrefixIndex {
    tree: RunTree<Holders>,
    sources: BTreeMap<SourceId, SourceState>,
    /// Slot to source. Slots ascend with their sources only by chance, so look-ups sort at the end.
    slots: Vec<Option<SourceId>>,
}

impl PrefixIndex {
    /// How many runs it keeps: what its memory grows with.
    pub fn runs(&self) -> usize {
        self.tree.len()
    }

    pub fn apply(&mut self, batch: &KvBatch) -> Result<(), SequenceGap> {
        let source_id = batch.source;
        let state =
            self.sources.get_mut(&source_id).ok_or(SequenceGap::UnknownSource { source_id })?;
        if (batch.epoch, batch.seq) != (state.epoch, state.seq + 1) {
            return Err(SequenceGap::Missing {
                source_id,
                epoch: state.epoch,
                expected: state.seq + 1,
                got_epoch: batch.epoch,
                got: batch.seq,
            });
        }
        state.seq = batch.seq;
        let slot = state.slot;
        for event in &batch.events {
            match event {
                KvEvent::Stored { tier, run } => self
                    .store(slot, *tier, run)
                    .map_err(|depth| SequenceGap::UnknownParent { source_id, depth })?,
                KvEvent::Removed { tier, run } => self.remove(slot, *tier, run),
                KvEvent::Cleared => self.clear(slot),
            }
        }
        Ok(())
    }

    /// Replaces all that is known of a source.
    pub fn replace(&mut self, snapshot: &Snapshot) -> Result<(), SequenceGap> {
        let source_id = snapshot.source;
        self.forget(source_id);
        let slot = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(source_id);
        let slot = u16::try_from(slot).expect("fewer than 65,536 sources");
        let state = SourceState { slot, epoch: snapshot.epoch, seq: snapshot.seq };
        self.sources.insert(source_id, state);
        for (tier, run) in &snapshot.runs {
            self.store(slot, *tier, run)
                .map_err(|depth| SequenceGap::UnknownParent { source_id, depth })?;
        }
        Ok(())
    }

    /// Drops a source and all it held.
    pub fn forget(&mut self, source: SourceId) {
        if let Some(state) = self.sources.remove(&source) {
            self.clear(state.slot);
            self.slots[state.slot as usize] = None;
        }
    }

    /// The last batch applied for a source: (epoch, seq).
    pub fn position(&self, source: SourceId) -> Option<(u64, u64)> {
        self.sources.get(&source).map(|state| (state.epoch, state.seq))
    }

    pub fn digest(&self, source: SourceId) -> Digest {
        let mut digest = Digest::default();
        let Some(state) = self.sources.get(&source) else { return digest };
        for (_, node) in self.tree.iter() {
            let run = BlockRun { chain: Arc::clone(&node.chain), start: node.start, end: node.end };
            for holder in node.value.iter().filter(|holder| holder.slot == state.slot) {
                for tier in 0..MAX_TIERS as u8 {
                    if holder.tiers & (1 << tier) != 0 {
                        digest.add(TierId(tier), &run);
                    }
                }
            }
        }
        digest
    }

    /// How much of `prompt` each source holds without a gap.
    pub fn overlap(&self, prompt: &TokenBlocks, out: &mut Overlap) {
        out.clear();
        let (chain, limit) = (prompt.chain(), prompt.reusable_blocks());
        let Overlap { entries, going } = out;
        let mut depth = 0;
        while let Some((id, agreed)) = self.tree.follow(chain, depth, limit) {
            let node = self.tree.get(id);
            let covered = agreed - depth;
            if depth == 0 {
                for holder in &node.value {
                    let source = self.slots[holder.slot as usize].expect("a holder is a source");
                    going.push((holder.slot, entries.len() as u16));
                    entries.push(SourceOverlap { source, by_tier: [0; MAX_TIERS], pending: 0 });
                }
            }
            // Both ascend by slot.
            let mut holders = node.value.iter().peekable();
            going.retain(|&(slot, entry)| {
                while holders.next_if(|holder| holder.slot < slot).is_some() {}
                let Some(holder) = holders.next_if(|holder| holder.slot == slot) else {
                    return false;
                };
                let tier = holder.tiers.trailing_zeros() as usize;
                entries[usize::from(entry)].by_tier[tier] += covered;
                true
            });
            depth = agreed;
            if agreed < node.end || going.is_empty() {
                break;
            }
        }
        going.clear();
        entries.sort_unstable_by_key(|entry| entry.source);
    }

    /// On failure, the depth whose parent is missing.
    fn store(&mut self, slot: u16, tier: TierId, run: &BlockRun) -> Result<(), u32> {
        if run.is_empty() {
            return Ok(());
        }
        let mut parent = match run.start {
            0 => None,
            start => Some(self.tree.locate(&run.chain, start - 1).ok_or(start)?),
        };
        let mut depth = run.start;
        while depth < run.end {
            // What comes next on the way is either inside the parent, or a node below it.
            let inside = parent.filter(|&id| self.tree.get(id).end > depth);
            let next = match inside {
                Some(id) => {
                    let node = self.tree.get(id);
                    let limit = node.end.min(run.end);
                    let agreed = node.chain.agree_until(&run.chain, depth, limit);
                    (agreed > depth).then_some((id, agreed))
                }
                None => self.tree.follow(&run.chain, depth, run.end),
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
                    self.grow(parent, &run.chain, depth, run.end, slot, tier);
                    depth = run.end;
                }
            }
        }
        Ok(())
    }

    /// Adds a claim on blocks `from..to` of a node, and gives back the node that ends at `to`.
    fn mark(&mut self, id: NodeId, from: u32, to: u32, slot: u16, tier: TierId) -> NodeId {
        let bit = 1 << tier.0;
        let node = self.tree.get(id);
        let has = node.value.iter().any(|holder| holder.slot == slot && holder.tiers & bit != 0);
        if has {
            return id;
        }
        let part = self.isolate(id, from, to);
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
    ) {
        let claim = Holder { slot, tiers: 1 << tier.0 };
        if let Some(id) = parent {
            let node = self.tree.get(id);
            let alike = node.value.as_slice() == [claim] && node.children == 0;
            if alike && node.end == start {
                if Arc::ptr_eq(&node.chain, chain) {
                    self.tree.extend(id, end);
                    return;
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
                    return;
                }
            }
        }
        let run = BlockRun { chain: Arc::clone(chain), start, end };
        self.tree.insert(parent, run, Holders::from_slice(&[claim]));
    }

    fn remove(&mut self, slot: u16, tier: TierId, run: &BlockRun) {
        if run.is_empty() {
            return;
        }
        let bit = 1 << tier.0;
        let mut parts: SmallVec<[NodeId; 8]> = SmallVec::new();
        let mut next = self
            .tree
            .locate(&run.chain, run.start)
            .map(|id| (id, self.agreed(id, &run.chain, run.start, run.end)));
        let mut depth = run.start;
        while let Some((id, agreed)) = next {
            let node = self.tree.get(id);
            let whole = agreed == node.end;
            let has = node.value.iter().any(|h| h.slot == slot && h.tiers & bit != 0);
            if has {
                parts.push(self.isolate(id, depth, agreed));
            }
            depth = agreed;
            next = if whole { self.tree.follow(&run.chain, depth, run.end) } else { None };
        }
        // From the far end, so that a node is childless when its turn comes.
        for &id in parts.iter().rev() {
            self.drop_claim(id, slot, bit);
        }
    }

    fn agreed(&self, id: NodeId, chain: &Arc<Chain>, from: u32, limit: u32) -> u32 {
        let node = self.tree.get(id);
        node.chain.agree_until(chain, from, node.end.min(limit))
    }

    fn drop_claim(&mut self, id: NodeId, slot: u16, bits: u8) {
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
    }

    fn clear(&mut self, slot: u16) {
        let held = |(id, node): (NodeId, &crate::runs::Node<Holders>)| {
            node.value.iter().any(|holder| holder.slot == slot).then_some((node.start, id))
        };
        let mut nodes: Vec<(u32, NodeId)> = self.tree.iter().filter_map(held).collect();
        // Children start deeper than their parents, so they go first.
        nodes.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in nodes {
            self.drop_claim(id, slot, u8::MAX);
        }
    }

    /// For tests: the forest is sound, and nothing is kept that nobody holds.
    pub fn check(&self) {
        self.tree.check();
        for (_, node) in self.tree.iter() {
            assert!(node.children > 0 || !node.value.is_empty(), "a run without holder is kept");
            assert!(node.value.is_sorted_by(|a, b| a.slot < b.slot), "holders out of order");
        }
    }
}
