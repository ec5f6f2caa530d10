//! The digest of each source's blocks, to be compared with the digest that the source reports.

use super::state::PrefixIndex;
use crate::block::{BlockRun, Chain};
use crate::event::Digest;
use crate::id::{MAX_TIERS, SourceId, TierId};
use crate::runs::NodeId;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Added,
    Removed,
}

impl PrefixIndex {
    /// An empty index that updates digests with each batch, so that reading one costs nothing.
    pub fn with_digests() -> Self {
        Self { digests: Some(Vec::new()), ..Self::default() }
    }

    /// The digest of the blocks that the index has for a source. Without [`Self::with_digests`] it is
    /// computed from every block.
    pub fn digest(&self, source: SourceId) -> Digest {
        let Some(state) = self.sources.get(&source) else { return Digest::default() };
        match &self.digests {
            Some(kept) => kept.get(usize::from(state.slot)).copied().unwrap_or_default(),
            None => self.computed_digest(state.slot),
        }
    }

    pub(super) fn computed_digest(&self, slot: u16) -> Digest {
        let mut digest = Digest::default();
        for (_, node) in self.tree.iter() {
            let run = node.run(node.start, node.end);
            for holder in node.value.iter().filter(|holder| holder.slot == slot) {
                for tier in 0..MAX_TIERS as u8 {
                    if holder.tiers & (1 << tier) != 0 {
                        digest.add(TierId(tier), &run);
                    }
                }
            }
        }
        digest
    }

    /// Updates a source's digest by a node.
    pub(super) fn update_digest(&mut self, slot: u16, tier: TierId, id: NodeId, change: Change) {
        if self.digests.is_some() {
            let node = self.tree.get(id);
            let (chain, start, end) = (Arc::clone(&node.chain), node.start, node.end);
            self.update_digest_run(slot, tier, &chain, (start, end), change);
        }
    }

    /// Updates a source's digest by a run.
    pub(super) fn update_digest_run(
        &mut self,
        slot: u16,
        tier: TierId,
        chain: &Arc<Chain>,
        (start, end): (u32, u32),
        change: Change,
    ) {
        let Some(digest) = self.digest_mut(slot) else { return };
        let mut part = Digest::default();
        part.add(tier, &BlockRun { chain: Arc::clone(chain), start, end });
        digest.xor ^= part.xor;
        match change {
            Change::Added => digest.blocks += part.blocks,
            Change::Removed => digest.blocks -= part.blocks,
        }
    }

    pub(super) fn clear_digest(&mut self, slot: u16) {
        if let Some(digest) = self.digest_mut(slot) {
            *digest = Digest::default();
        }
    }

    fn digest_mut(&mut self, slot: u16) -> Option<&mut Digest> {
        let digests = self.digests.as_mut()?;
        let least = usize::from(slot) + 1;
        if digests.len() < least {
            digests.resize(least, Digest::default());
        }
        Some(&mut digests[least - 1])
    }
}
