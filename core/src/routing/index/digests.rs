//! The digest of each source's blocks, to be compared with the digest that the source reports.

use super::claim::Edit;
use super::state::PrefixIndex;
use crate::block::Chain;
use crate::event::Digest;
use crate::id::{MAX_TIERS, SourceId, TierId};

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
            for claim in node.claims.of(slot) {
                let stored = Edit { from: claim.from, to: claim.to, before: 0, after: claim.tiers };
                update(&mut digest, &node.chain, stored);
            }
        }
        digest
    }

    pub(super) fn clear_digest(&mut self, slot: u16) {
        if let Some(digest) = digest_of(&mut self.digests, slot) {
            *digest = Digest::default();
        }
    }
}

/// The digest of a slot, where digests are kept.
pub(super) fn digest_of(digests: &mut Option<Vec<Digest>>, slot: u16) -> Option<&mut Digest> {
    let digests = digests.as_mut()?;
    let least = usize::from(slot) + 1;
    if digests.len() < least {
        digests.resize(least, Digest::default());
    }
    Some(&mut digests[least - 1])
}

/// Updates a digest where the tiers of blocks have changed.
pub(super) fn update(digest: &mut Digest, chain: &Chain, edit: Edit) {
    for tier in (0..MAX_TIERS as u8).filter(|tier| (edit.before ^ edit.after) & (1 << tier) != 0) {
        let mut part = Digest::default();
        part.add_blocks(TierId(tier), chain, edit.from..edit.to);
        digest.xor ^= part.xor;
        match edit.after & (1 << tier) != 0 {
            true => digest.blocks += part.blocks,
            false => digest.blocks -= part.blocks,
        }
    }
}
