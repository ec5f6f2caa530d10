//! What of a chain is there, and where.

use super::{BlockStore, Run};
use crate::block::Chain;
use crate::runs::NodeId;
use crate::time::Instant;
use smallvec::SmallVec;
use std::sync::Arc;

impl BlockStore {
    pub(super) fn find(&self, chain: &Arc<Chain>, from: u32, limit: u32) -> Found {
        let mut found = Found { path: self.path(chain, from, limit), ..Found::default() };
        let mut start = 0;
        for i in 0..found.path.len() {
            let (id, end) = found.path[i];
            let (run, blocks) = (&self.tree.get(id).value, end - start);
            if run.in_hbm() || run.loading.is_some() {
                found.coming = end;
                found.fetching |= run.loading.is_some_and(|id| self.comes_from_outside(id));
                if run.pins == 0 {
                    found.idle_hbm += u64::from(blocks);
                }
            } else {
                found.lies_behind(run, blocks, end);
            }
            start = end;
        }
        found
    }

    /// The first `limit` blocks of a chain, as far as they are here or on their way. Those before
    /// `from` are expected to be: where they are found by name, nothing before them is compared.
    pub(super) fn path(&self, chain: &Arc<Chain>, from: u32, limit: u32) -> Path {
        let mut path = self.path_up(chain, from, limit);
        loop {
            let last = path.last().copied();
            if last.is_some_and(|(id, end)| end < self.tree.get(id).end) {
                return path;
            }
            let (parent, depth) = last.map_or((None, 0), |(id, end)| (Some(id), end));
            match self.tree.follow_below(parent, chain, depth, limit) {
                Some(next) => path.push(next),
                None => return path,
            }
        }
    }

    /// The path to the run that holds the block before `from`, if that one is registered.
    fn path_up(&self, chain: &Arc<Chain>, from: u32, limit: u32) -> Path {
        let mut path = Path::new();
        let Some(last) = self.run_before(chain, from) else { return path };
        path.push((last, self.tree.agreed(last, chain, from, limit)));
        let mut next = self.tree.get(last).parent;
        while let Some(id) = next {
            let node = self.tree.get(id);
            path.push((id, node.end));
            next = node.parent;
        }
        path.reverse();
        path
    }

    /// How far the path ends that [`BlockStore::path`] gives, without a look at what it may begin
    /// with.
    pub(super) fn reach(&self, chain: &Arc<Chain>, from: u32, limit: u32) -> u32 {
        let known = self.run_before(chain, from);
        let mut last = known.map(|id| (id, self.tree.agreed(id, chain, from, limit)));
        loop {
            let (parent, depth) = last.map_or((None, 0), |(id, end)| (Some(id), end));
            if parent.is_some_and(|id| depth < self.tree.get(id).end) {
                return depth;
            }
            last = self.tree.follow_below(parent, chain, depth, limit);
            if last.is_none() {
                return depth;
            }
        }
    }

    /// The run that holds the block before `from`, if that one is registered.
    fn run_before(&self, chain: &Arc<Chain>, from: u32) -> Option<NodeId> {
        self.tree.registered(chain, from.checked_sub(1)?)
    }
}

/// The runs of a chain from the root on, each with the block up to which it agrees.
pub(super) type Path = SmallVec<[(NodeId, u32); 16]>;

/// How far a chain is there.
#[derive(Default, Debug)]
pub(super) struct Found {
    pub path: Path,
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
