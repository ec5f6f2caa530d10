//! Which source holds which prefix, in which tier. Exact: a block removed in the middle and stored
//! again restores the whole depth.
//!
//! Each node of the forest lists its holders, and all of them hold all of its blocks; where that
//! stops being true the node is split.

mod check;
mod claims;
mod digests;

use crate::block::{BlockRun, TokenBlocks};
use crate::event::{Digest, KvBatch, KvEvent, Snapshot};
use crate::id::{MAX_TIERS, SourceId};
use crate::runs::{NodeId, RunTree};
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

#[derive(Clone, Debug)]
pub struct PrefixIndex {
    tree: RunTree<Holders>,
    sources: BTreeMap<SourceId, SourceState>,
    /// Slot to source. Slots ascend with their sources only by chance, so look-ups sort at the end.
    slots: Vec<Option<SourceId>>,
    /// What each slot holds in sum, where that is kept.
    digests: Option<Vec<Digest>>,
}

impl Default for PrefixIndex {
    fn default() -> Self {
        // Each event names what it goes on from or what it ends with.
        let tree = RunTree::with_ends().with_anchors();
        Self { tree, sources: BTreeMap::new(), slots: Vec::new(), digests: None }
    }
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
        let mut events = batch.events.as_slice();
        while let [event, rest @ ..] = events {
            events = rest;
            match event {
                KvEvent::Stored { tier, run } => {
                    if let [KvEvent::Removed { tier: left, run: same }, rest @ ..] = rest
                        && tier != left
                        && names_the_same(run, same)
                        && self.shift(slot, run, *left, *tier)
                    {
                        events = rest;
                        continue;
                    }
                    self.store(slot, *tier, run)
                        .map_err(|depth| SequenceGap::UnknownParent { source_id, depth })?;
                }
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

    /// Blocks that at least one worker holds, and how many copies of them there are in all workers
    /// (several tiers of one count once).
    pub fn copies(&self) -> (u64, u64) {
        let is_worker = |holder: &&Holder| {
            matches!(self.slots[holder.slot as usize], Some(SourceId::Worker(_)))
        };
        let (mut blocks, mut copies) = (0, 0);
        for (_, node) in self.tree.iter() {
            let workers = node.value.iter().filter(is_worker).count() as u64;
            blocks += u64::from(node.len()) * workers.min(1);
            copies += u64::from(node.len()) * workers;
        }
        (blocks, copies)
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
        self.note_clear(slot);
    }
}

/// A name covers all that comes before it.
fn names_the_same(a: &BlockRun, b: &BlockRun) -> bool {
    (a.start, a.end) == (b.start, b.end)
        && !a.is_empty()
        && (Arc::ptr_eq(&a.chain, &b.chain) || a.chain.hash(a.end - 1) == b.chain.hash(b.end - 1))
}
