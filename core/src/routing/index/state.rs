//! The index itself: updates from sources, and look-ups.

use super::tree::Tree;
use crate::block::BlockRun;
use crate::event::{Digest, KvBatch, KvEvent, Snapshot};
use crate::id::SourceId;
use crate::runs::NodeId;
use std::collections::BTreeMap;

/// An update that does not continue the updates before it. The caller must fetch a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SequenceGap {
    /// A batch came before any snapshot of its source.
    #[error("{source_id} sent a batch, expected a snapshot first")]
    UnknownSource {
        /// The sender.
        source_id: SourceId,
    },
    /// A batch is missing, or the source has restarted.
    #[error(
        "{source_id} sent batch {got} of epoch {got_epoch}, expected batch {expected} of epoch \
         {epoch}"
    )]
    Missing {
        /// The sender.
        source_id: SourceId,
        /// The epoch of the updates so far.
        epoch: u64,
        /// The number of the next batch.
        expected: u64,
        /// The epoch that was sent.
        got_epoch: u64,
        /// The number that was sent.
        got: u64,
    },
    /// A run does not start at a block that the index knows.
    #[error("{source_id} stored a run at block {depth}, expected the block before it in the index")]
    UnknownParent {
        /// The sender.
        source_id: SourceId,
        /// The first block of the run.
        depth: u32,
    },
}

#[derive(Clone, Debug)]
pub(super) struct SourceState {
    pub(super) slot: u16,
    epoch: u64,
    seq: u64,
}

/// The blocks of all sources, kept up to date by their batches.
#[derive(Clone, Default, Debug)]
pub struct PrefixIndex {
    pub(super) tree: Tree,
    pub(super) sources: BTreeMap<SourceId, SourceState>,
    /// The source of each slot.
    pub(super) slots: Vec<Option<SourceId>>,
    /// Whether slots are in the order of sources, as they mostly are. If not, a look-up sorts its result.
    pub(super) in_order: bool,
    /// The digest of each slot. None: digests are computed on demand.
    pub(super) digests: Option<Vec<Digest>>,
}

impl PrefixIndex {
    /// The number of runs in the tree. Memory grows with it.
    pub fn runs(&self) -> usize {
        self.tree.len()
    }

    /// Applies the next batch of a source. After an error, a snapshot of the source must follow: the
    /// batch may be applied in part.
    pub fn apply(&mut self, batch: &KvBatch) -> Result<(), SequenceGap> {
        let source_id = batch.source;
        let state =
            self.sources.get_mut(&source_id).ok_or(SequenceGap::UnknownSource { source_id })?;
        // The source chooses the numbers: after the last one there is none.
        let next = state.seq.checked_add(1);
        if batch.epoch != state.epoch || Some(batch.seq) != next {
            return Err(SequenceGap::Missing {
                source_id,
                epoch: state.epoch,
                expected: state.seq.saturating_add(1),
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
                        && is_same_run(run, same)
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

    /// Replaces all blocks of a source by those of a snapshot. After an error, another snapshot must
    /// follow.
    pub fn replace(&mut self, snapshot: &Snapshot) -> Result<(), SequenceGap> {
        let source_id = snapshot.source;
        self.forget(source_id);
        let slot = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(source_id);
        self.in_order = self.slots.iter().flatten().is_sorted();
        let slot = u16::try_from(slot).expect("fewer than 65,536 sources");
        let state = SourceState { slot, epoch: snapshot.epoch, seq: snapshot.seq };
        self.sources.insert(source_id, state);
        for (tier, run) in &snapshot.runs {
            self.store(slot, *tier, run)
                .map_err(|depth| SequenceGap::UnknownParent { source_id, depth })?;
        }
        Ok(())
    }

    /// Different blocks on all workers, and copies of them. A block in several tiers of one worker is
    /// one copy. Pools do not count.
    pub fn copies(&self) -> (u64, u64) {
        let (mut blocks, mut copies) = (0, 0);
        let mut held: Vec<(u32, u32)> = Vec::new();
        for (_, node) in self.tree.iter() {
            held.clear();
            for claim in node.claims.all() {
                if matches!(self.slots[usize::from(claim.slot)], Some(SourceId::Worker(_))) {
                    held.push((claim.from, claim.to));
                    copies += u64::from(claim.len());
                }
            }
            held.sort_unstable();
            let mut counted = node.start;
            for &(from, to) in &held {
                blocks += u64::from(to.saturating_sub(from.max(counted)));
                counted = counted.max(to);
            }
        }
        (blocks, copies)
    }

    /// Removes a source and its blocks.
    pub fn forget(&mut self, source: SourceId) {
        if let Some(state) = self.sources.remove(&source) {
            self.clear(state.slot);
            self.slots[state.slot as usize] = None;
        }
    }

    /// The last batch of a source that was applied: (epoch, seq).
    pub fn position(&self, source: SourceId) -> Option<(u64, u64)> {
        self.sources.get(&source).map(|state| (state.epoch, state.seq))
    }

    fn clear(&mut self, slot: u16) {
        let held = self.tree.iter().filter(|(_, node)| !node.claims.of(slot).is_empty());
        let mut nodes: Vec<(u32, NodeId)> = held.map(|(id, node)| (node.start, id)).collect();
        // Children before parents: a child starts deeper.
        nodes.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in nodes {
            self.tree.get_mut(id).claims.clear(slot);
            self.tree.trim(id);
        }
        self.clear_digest(slot);
    }
}

/// Compares only the last hash of each run, because it covers all blocks before it.
fn is_same_run(a: &BlockRun, b: &BlockRun) -> bool {
    (a.start, a.end) == (b.start, b.end)
        && !a.is_empty()
        && (a.chain.is_same(&b.chain) || a.chain.hash(a.end - 1) == b.chain.hash(b.end - 1))
}
