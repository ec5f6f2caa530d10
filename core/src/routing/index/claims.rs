//! Adds and removes the claims of sources on blocks.

use super::claim::Edit;
use super::state::PrefixIndex;
use crate::block::{BlockRun, Chain};
use crate::id::TierId;
use crate::runs::{NodeId, anchor_above};
use smallvec::SmallVec;

/// The parts of nodes that make a run, in order: the node, the first block and the block after the last.
type Path = SmallVec<[(NodeId, u32, u32); 8]>;

impl PrefixIndex {
    /// Adds a claim on a run. The error is the first block of a run whose parent is missing.
    pub(super) fn store(&mut self, slot: u16, tier: TierId, run: &BlockRun) -> Result<(), u32> {
        if run.is_empty() {
            return Ok(());
        }
        let bit = 1 << tier.0;
        // The node that has the last block before `depth`, or block `depth` if it is known already.
        let (above, chain, mut known) = match run.start {
            0 => (self.tree.root(&run.chain), run.chain.clone(), 1),
            start => {
                let above = self.tree.locate(&run.chain, start - 1).ok_or(start)?;
                (Some(above), self.verified_chain(above, run).ok_or(start)?, start)
            }
        };
        let (mut next, mut last, mut depth) = (above, above, run.start);
        while let Some(id) = next {
            let (agreed, further) = self.tree.step(id, &chain, known, run.end);
            if agreed > depth {
                self.edit(id, slot, &chain, (depth, agreed), |tiers| tiers | bit);
            }
            (last, next) = (Some(id), further);
            (depth, known) = (agreed, agreed + 1);
        }
        if depth < run.end {
            let id = self.tree.grow(last, &chain, (depth, run.end));
            self.edit(id, slot, &chain, (depth, run.end), |tiers| tiers | bit);
        }
        Ok(())
    }

    /// The chain of a run below the node `above`. None if the chain has other hashes before the run
    /// than the path of that node: the sender is wrong, and the tree would take the wrong hashes for
    /// the blocks of other sources.
    fn verified_chain(&self, above: NodeId, run: &BlockRun) -> Option<Chain> {
        // The hashes of a described text are computed here, so they need no check.
        if run.chain.is_described() || self.tree.get(above).chain.is_same(&run.chain) {
            return Some(run.chain.clone());
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

    pub(super) fn remove(&mut self, slot: u16, tier: TierId, run: &BlockRun) {
        let bit = 1 << tier.0;
        // From the last block back, so that each node has lost its children when it is trimmed.
        for (id, from, to) in self.path(run).into_iter().rev() {
            self.edit(id, slot, &run.chain, (from, to), |tiers| tiers & !bit);
            self.tree.trim(id);
        }
    }

    /// Moves a source's claim on a run from one tier to another, much cheaper than storing and
    /// removing. Returns false and changes nothing if the source did not hold the whole run.
    pub(super) fn shift(&mut self, slot: u16, run: &BlockRun, from: TierId, to: TierId) -> bool {
        let path = self.path(run);
        let (left, came) = (1 << from.0, 1 << to.0);
        let held = |&(id, first, end): &(NodeId, u32, u32)| {
            self.tree.get(id).claims.cover(slot, (first, end), left)
        };
        let whole = path.last().is_some_and(|&(_, _, end)| end == run.end);
        if !whole || !path.iter().all(held) {
            return false;
        }
        for (id, first, end) in path {
            self.edit(id, slot, &run.chain, (first, end), |tiers| tiers & !left | came);
        }
        true
    }

    /// The part of a run that the tree has.
    fn path(&self, run: &BlockRun) -> Path {
        let mut path = Path::new();
        if run.is_empty() {
            return path;
        }
        let mut next = self.tree.locate(&run.chain, run.start);
        let mut from = run.start;
        while let Some(id) = next {
            let (agreed, further) = self.tree.step(id, &run.chain, from + 1, run.end);
            path.push((id, from, agreed));
            (next, from) = (further, agreed);
        }
        path
    }

    /// Changes the tiers in which a source holds a part of a node, and its digest. `chain` has the
    /// same hashes there as the node, and was just read. If a sender's are wrong, its own digest is too.
    fn edit(
        &mut self,
        id: NodeId,
        slot: u16,
        chain: &Chain,
        blocks: (u32, u32),
        change: impl Fn(u8) -> u8,
    ) {
        let claims = &mut self.tree.get_mut(id).claims;
        match super::digests::digest_of(&mut self.digests, slot) {
            None => claims.edit(slot, blocks, change, |_| ()),
            Some(digest) => claims.edit(slot, blocks, change, |edit: Edit| {
                super::digests::update(digest, chain, edit);
            }),
        }
    }
}
