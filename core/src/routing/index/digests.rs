//! What each source is taken to hold, in sum, for who compares it with what the source says.

use super::PrefixIndex;
use crate::block::{BlockRun, Chain};
use crate::event::Digest;
use crate::id::{MAX_TIERS, SourceId, TierId};
use crate::runs::NodeId;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Came,
    Went,
}

impl PrefixIndex {
    /// Keeps digests as blocks come and go, so that asking for one costs nothing.
    pub fn with_digests() -> Self {
        Self { digests: Some(Vec::new()), ..Self::default() }
    }

    /// A summary of what a source is taken to hold. Where none are kept it is worked out, from every
    /// block.
    pub fn digest(&self, source: SourceId) -> Digest {
        let Some(state) = self.sources.get(&source) else { return Digest::default() };
        match &self.digests {
            Some(kept) => kept.get(usize::from(state.slot)).copied().unwrap_or_default(),
            None => self.summed_up(state.slot),
        }
    }

    pub(super) fn summed_up(&self, slot: u16) -> Digest {
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

    /// A source's claim on a node comes or goes.
    pub(super) fn note(&mut self, slot: u16, tier: TierId, id: NodeId, change: Change) {
        if self.digests.is_some() {
            let node = self.tree.get(id);
            let (chain, start, end) = (Arc::clone(&node.chain), node.start, node.end);
            self.note_run(slot, tier, &chain, (start, end), change);
        }
    }

    pub(super) fn note_run(
        &mut self,
        slot: u16,
        tier: TierId,
        chain: &Arc<Chain>,
        (start, end): (u32, u32),
        change: Change,
    ) {
        let Some(digest) = self.kept(slot) else { return };
        let mut part = Digest::default();
        part.add(tier, &BlockRun { chain: Arc::clone(chain), start, end });
        digest.xor ^= part.xor;
        match change {
            Change::Came => digest.blocks += part.blocks,
            Change::Went => digest.blocks -= part.blocks,
        }
    }

    pub(super) fn note_clear(&mut self, slot: u16) {
        if let Some(digest) = self.kept(slot) {
            *digest = Digest::default();
        }
    }

    fn kept(&mut self, slot: u16) -> Option<&mut Digest> {
        let digests = self.digests.as_mut()?;
        let least = usize::from(slot) + 1;
        if digests.len() < least {
            digests.resize(least, Digest::default());
        }
        Some(&mut digests[least - 1])
    }
}
