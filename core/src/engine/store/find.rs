//! What of a chain is there, and where.

use super::{BlockStore, Run};
use crate::block::Chain;
use crate::time::Instant;
use smallvec::SmallVec;
use std::sync::Arc;

impl BlockStore {
    pub(super) fn find(&self, chain: &Arc<Chain>, limit: u32) -> Found {
        let mut found = Found::default();
        let mut depth = 0;
        while let Some((id, agreed)) = self.tree.follow(chain, depth, limit) {
            let node = self.tree.get(id);
            let (run, blocks) = (&node.value, agreed - depth);
            if run.in_hbm() || run.loading.is_some() {
                found.coming = agreed;
                found.fetching |= run.loading.is_some_and(|id| self.comes_from_outside(id));
                if run.pins == 0 {
                    found.idle_hbm += u64::from(blocks);
                }
            } else {
                found.lies_behind(run, blocks, agreed);
            }
            depth = agreed;
            if agreed < node.end {
                break;
            }
        }
        found
    }
}

/// How far a chain is there.
#[derive(Default, Debug)]
pub(super) struct Found {
    /// In HBM or on the way there, in blocks from the start.
    pub coming: u32,
    /// Some of that comes from others.
    pub fetching: bool,
    /// Of that, what nobody holds yet.
    pub idle_hbm: u64,
    /// What lies behind it, from the nearest tier to the farthest.
    pub behind: SmallVec<[Segment; 3]>,
}

/// A stretch of a chain in one tier.
#[derive(Debug)]
pub(super) struct Segment {
    pub tier: usize,
    pub blocks: u32,
    pub end: u32,
    pub there_at: Instant,
}

impl Found {
    fn lies_behind(&mut self, run: &Run, blocks: u32, end: u32) {
        let tier = run.tiers.trailing_zeros() as usize;
        match self.behind.last_mut().filter(|last| last.tier == tier) {
            Some(last) => {
                last.blocks += blocks;
                last.end = end;
                last.there_at = last.there_at.max(run.there_at);
            }
            None => self.behind.push(Segment { tier, blocks, end, there_at: run.there_at }),
        }
    }
}
