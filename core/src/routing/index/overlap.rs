//! The result of a look-up.

use crate::id::{MAX_TIERS, SourceId, WorkerId};
use serde::{Deserialize, Serialize};

/// The blocks of a prompt that each source holds, counted from the start of the prompt without a
/// gap. Sources are in ascending order; those that hold no block are not listed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Overlap {
    pub(super) entries: Vec<SourceOverlap>,
    /// During a look-up: the sources that hold all blocks so far, as (slot, index of the entry).
    /// Empty otherwise.
    #[serde(skip)]
    pub(super) going: Vec<(u16, u16)>,
    /// The same before the node that is looked at. Empty otherwise.
    #[serde(skip)]
    pub(super) before: Vec<(u16, u16)>,
}

/// The blocks of a prompt that one source holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceOverlap {
    /// The worker or pool.
    pub source: SourceId,
    /// Blocks by tier. A block in several tiers counts once, in the nearest one.
    pub by_tier: [u32; MAX_TIERS],
    /// Blocks of tier 0 that the source does not hold yet: requests on the way will store them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pending: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl SourceOverlap {
    const fn pending(source: SourceId, blocks: u32) -> Self {
        let mut by_tier = [0; MAX_TIERS];
        by_tier[0] = blocks;
        Self { source, by_tier, pending: blocks }
    }

    fn raise(&mut self, blocks: u32) {
        let more = blocks.saturating_sub(self.blocks());
        self.by_tier[0] += more;
        self.pending += more;
    }

    /// Blocks in all tiers, pending ones included.
    pub fn blocks(&self) -> u32 {
        self.by_tier.iter().fold(0, |sum, &blocks| sum.saturating_add(blocks))
    }

    /// Blocks of each tier that the source holds by its events.
    pub fn stored(&self) -> [u32; MAX_TIERS] {
        let mut by_tier = self.by_tier;
        by_tier[0] = by_tier[0].saturating_sub(self.pending);
        by_tier
    }

    /// Blocks that another worker could fetch now.
    pub fn resident(&self) -> u32 {
        self.blocks().saturating_sub(self.pending)
    }
}

/// Entries of a look-up in the order of their sources. A rule that weighs all workers finds each entry
/// in a step, where a search would cost more than the weighing.
#[derive(Clone, Copy, Debug)]
pub struct InOrder<'a> {
    rest: &'a [SourceOverlap],
}

impl<'a> InOrder<'a> {
    /// The entry of a worker, which comes after every worker that was asked for before. None: it holds
    /// no block.
    pub fn entry(&mut self, worker: WorkerId) -> Option<&'a SourceOverlap> {
        while let Some((first, rest)) = self.rest.split_first() {
            match first.source {
                SourceId::Worker(id) if id < worker => self.rest = rest,
                SourceId::Worker(id) if id == worker => return Some(first),
                SourceId::Worker(_) | SourceId::Pool(_) => return None,
            }
        }
        None
    }

    /// What a worker holds, in blocks by tier. The order of calls is that of [`InOrder::entry`].
    pub fn of_worker(&mut self, worker: WorkerId) -> [u32; MAX_TIERS] {
        self.entry(worker).map_or([0; MAX_TIERS], |entry| entry.by_tier)
    }

    /// The same without what requests on the way will store.
    pub fn stored(&mut self, worker: WorkerId) -> [u32; MAX_TIERS] {
        self.entry(worker).map_or([0; MAX_TIERS], SourceOverlap::stored)
    }
}

impl Overlap {
    /// Removes all entries and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The sources that hold at least one block, in ascending order.
    pub fn entries(&self) -> &[SourceOverlap] {
        &self.entries
    }

    /// The entry of a source. None: it holds no block.
    pub fn get(&self, source: SourceId) -> Option<&SourceOverlap> {
        self.place(source).ok().map(|i| &self.entries[i])
    }

    /// The place of a source; an error says where it would be. Workers are numbered from 0, so an entry stands at its
    /// worker's number as long as all workers before it have one too.
    fn place(&self, source: SourceId) -> Result<usize, usize> {
        if let SourceId::Worker(WorkerId(number)) = source
            && self.entries.get(number as usize).is_some_and(|entry| entry.source == source)
        {
            return Ok(number as usize);
        }
        self.entries.binary_search_by_key(&source, |entry| entry.source)
    }

    /// The entries, for a reader that asks for workers in ascending order.
    pub fn in_order(&self) -> InOrder<'_> {
        InOrder { rest: &self.entries }
    }

    /// Blocks of each tier that a worker holds by its events: without those that requests on the way
    /// will store.
    pub fn stored(&self, worker: WorkerId) -> [u32; MAX_TIERS] {
        self.get(worker.into()).map_or([0; MAX_TIERS], SourceOverlap::stored)
    }

    /// Adds HBM blocks that count as stored until `source` has at least `blocks` in all: for what is
    /// believed and not announced.
    pub fn raise_stored(&mut self, source: SourceId, blocks: u32) {
        let pending = self.get(source).map_or(0, |entry| entry.pending);
        self.raise(source, blocks);
        if let Ok(i) = self.place(source) {
            self.entries[i].pending = pending;
        }
    }

    /// Adds pending HBM blocks until `source` has at least `blocks` in all.
    pub fn raise(&mut self, source: SourceId, blocks: u32) {
        match self.place(source) {
            Ok(i) => self.entries[i].raise(blocks),
            Err(i) => self.entries.insert(i, SourceOverlap::pending(source, blocks)),
        }
    }

    /// The same for several workers, which are in ascending order. Each entry moves once at most.
    pub fn raise_all<I>(&mut self, workers: I, blocks: u32)
    where
        I: DoubleEndedIterator<Item = WorkerId> + Clone,
    {
        let (mut at, mut missing) = (0, 0);
        for source in workers.clone().map(SourceId::Worker) {
            let rest = &self.entries[at..];
            let near = rest.iter().take(8).position(|entry| entry.source >= source);
            at += near.unwrap_or_else(|| rest.partition_point(|entry| entry.source < source));
            match self.entries.get_mut(at) {
                Some(entry) if entry.source == source => entry.raise(blocks),
                _ => missing += 1,
            }
        }
        if missing == 0 {
            return;
        }
        // From the last one on, those that have entries make room for those that have none.
        let mut from = self.entries.len();
        let mut to = from + missing;
        self.entries.resize(to, SourceOverlap::pending(SourceId::Worker(WorkerId(0)), 0));
        for source in workers.rev().map(SourceId::Worker) {
            while from > 0 && self.entries[from - 1].source > source {
                (from, to) = (from - 1, to - 1);
                self.entries[to] = self.entries[from];
            }
            if from == 0 || self.entries[from - 1].source < source {
                to -= 1;
                self.entries[to] = SourceOverlap::pending(source, blocks);
            }
        }
    }
}
