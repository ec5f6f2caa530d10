//! The result of a look-up.

use crate::id::{MAX_TIERS, SourceId};
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
    /// Blocks in all tiers, pending ones included.
    pub fn blocks(&self) -> u32 {
        self.by_tier.iter().fold(0, |sum, &blocks| sum.saturating_add(blocks))
    }

    /// Blocks that another worker could fetch now.
    pub fn resident(&self) -> u32 {
        self.blocks().saturating_sub(self.pending)
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
        let place = self.entries.binary_search_by_key(&source, |entry| entry.source);
        place.ok().map(|i| &self.entries[i])
    }

    /// Blocks of each tier that a worker holds by its events: without those that requests on the way
    /// will store.
    pub fn stored(&self, worker: crate::id::WorkerId) -> [u32; MAX_TIERS] {
        let Some(entry) = self.get(worker.into()) else { return [0; MAX_TIERS] };
        let mut by_tier = entry.by_tier;
        by_tier[0] = by_tier[0].saturating_sub(entry.pending);
        by_tier
    }

    /// Adds HBM blocks that count as stored until `source` has at least `blocks` in all: for what is
    /// believed and not announced.
    pub fn raise_stored(&mut self, source: SourceId, blocks: u32) {
        let pending = self.get(source).map_or(0, |entry| entry.pending);
        self.raise(source, blocks);
        if let Ok(i) = self.entries.binary_search_by_key(&source, |entry| entry.source) {
            self.entries[i].pending = pending;
        }
    }

    /// Adds pending HBM blocks until `source` has at least `blocks` in all.
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
