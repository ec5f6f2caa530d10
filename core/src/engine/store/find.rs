//! Looks a prompt up in the store, and plans which of its blocks to load or fetch.

use super::block_store::BlockStore;
use super::run::Run;
use crate::block::{BlockRun, Chain};
use crate::engine::profile::Loads;
use crate::engine::tiers::Offer;
use crate::event::PrefillCost;
use crate::runs::NodeId;
use crate::time::Instant;
use smallvec::SmallVec;

/// The runs of a chain from the root, each with the block up to which it agrees with the chain.
pub(super) type Path = SmallVec<[(NodeId, u32); 16]>;

/// The cached part of a chain.
#[derive(Default, Debug)]
pub(super) struct Found {
    /// All runs of the chain, in every tier.
    pub path: Path,
    /// Blocks from the start that are in HBM or on the way there.
    pub coming: u32,
    /// Whether a pool or a peer sends some of them.
    pub fetching: bool,
    /// Those of them that no lease holds.
    pub idle_hbm: u64,
    /// The blocks after them, from the nearest tier to the farthest.
    pub behind: SmallVec<[Segment; 3]>,
}

/// Consecutive blocks of a chain in one tier.
#[derive(Debug)]
pub(super) struct Segment {
    pub tier: usize,
    pub blocks: u32,
    /// The block after the last, counted from the start of the chain.
    pub end: u32,
    /// When the newest copy to the tier is complete.
    pub ready_at: Instant,
}

impl Found {
    fn add_behind(&mut self, run: &Run, blocks: u32, end: u32) {
        let tier = run.tiers.trailing_zeros() as usize;
        match self.behind.last_mut().filter(|last| last.tier == tier) {
            Some(last) => {
                last.blocks += blocks;
                last.end = end;
                last.ready_at = last.ready_at.max(run.ready_at);
            }
            None => self.behind.push(Segment { tier, blocks, end, ready_at: run.ready_at }),
        }
    }
}

/// Which blocks to move to HBM.
#[derive(Debug)]
pub(super) struct Plan {
    /// Load from the worker's tiers up to this block.
    pub end: u32,
    /// Fetch the blocks after it.
    pub offer: Option<Offer>,
}

impl BlockStore {
    /// Looks up the first `limit` blocks of a chain.
    pub(super) fn find(&self, chain: &Chain, from: u32, limit: u32) -> Found {
        let mut found = Found { path: self.path(chain, from, limit), ..Found::default() };
        let mut start = 0;
        for i in 0..found.path.len() {
            let (id, end) = found.path[i];
            let (run, blocks) = (&self.tree.get(id).value, end - start);
            if run.in_hbm() || run.loading.is_some() {
                found.coming = end;
                found.fetching |= run.loading.is_some_and(|id| self.is_fetch(id));
                if run.pins == 0 {
                    found.idle_hbm += u64::from(blocks);
                }
            } else {
                found.add_behind(run, blocks, end);
            }
            start = end;
        }
        found
    }

    /// The path of the first `limit` blocks, as far as they are cached or under way. The caller
    /// expects the blocks before `from` to be cached: if the index knows them by name, they are
    /// not compared.
    pub(super) fn path(&self, chain: &Chain, from: u32, limit: u32) -> Path {
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

    /// The path to the run with the block before `from`, if that block is indexed.
    fn path_up(&self, chain: &Chain, from: u32, limit: u32) -> Path {
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

    /// The end of [`BlockStore::path`] in blocks. Does not walk the part before `from` if that is
    /// indexed.
    fn path_end(&self, chain: &Chain, from: u32, limit: u32) -> u32 {
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

    /// The run with the block before `from`, if that block is indexed.
    fn run_before(&self, chain: &Chain, from: u32) -> Option<NodeId> {
        self.tree.registered(chain, from.checked_sub(1)?)
    }

    /// How many blocks of a run's path are cached, from the start of its chain. Blocks under way
    /// do not count.
    pub fn present(&self, run: &BlockRun) -> u32 {
        if self.transfers.all.is_empty() {
            return self.path_end(&run.chain, run.start, run.end);
        }
        self.present_of(&self.path(&run.chain, run.start, run.end))
    }

    pub(super) fn present_of(&self, path: &Path) -> u32 {
        let is_here = |&&(id, _): &&(NodeId, u32)| self.tree.get(id).value.tiers != 0;
        path.iter().take_while(is_here).last().map_or(0, |&(_, end)| end)
    }

    /// What to load and fetch: the end that saves the most time against computing. The load time
    /// of each block of one source is the same, and each block costs more to compute than the one
    /// before. So only the ends of tiers and of offers can be the best.
    pub(super) fn plan(
        &self,
        now: Instant,
        found: &Found,
        limit: u32,
        (block_size, cost): (u32, &PrefillCost),
        offers: &[Offer],
    ) -> Plan {
        let mut best = Plan { end: found.coming, offer: None };
        // The fetch under way may fail; a load after it would then be useless.
        if found.fetching {
            return best;
        }
        let gain = |end: u32, waits: f64| {
            let new = (end - found.coming) * block_size;
            let computed = cost.estimate(new, found.coming * block_size);
            computed.as_nanos() as f64 - waits
        };
        // Where loading may stop, and the time until all blocks before are in HBM. A tier with
        // `Loads::Always` is always loaded to its end.
        let mut ends: SmallVec<[(u32, f64); 4]> = SmallVec::from_slice(&[(found.coming, 0.0)]);
        let (mut waits, mut forced) = (0.0_f64, true);
        for segment in &found.behind {
            let tier = &self.tiers[segment.tier];
            let written = segment.ready_at.since(now).as_nanos() as f64;
            waits = waits.max(tier.load_estimate(now, segment.blocks) + written);
            forced &= tier.loads == Loads::Always;
            if forced {
                ends.clear();
            }
            ends.push((segment.end, waits));
        }
        let mut best_rank = (false, f64::NEG_INFINITY);
        let mut consider = |always: bool, gain: f64, plan: Plan| {
            if (always, gain) > best_rank {
                (best, best_rank) = (plan, (always, gain));
            }
        };
        for &(end, waits) in &ends {
            consider(false, gain(end, waits), Plan { end, offer: None });
            for offer in offers {
                let to = offer.blocks.min(limit);
                if to > end {
                    let waits = waits.max(offer.estimate(to - end));
                    let offer = Some(Offer { blocks: to, ..*offer });
                    consider(offer.is_some_and(|o| o.always), gain(to, waits), Plan { end, offer });
                }
            }
        }
        best
    }
}
