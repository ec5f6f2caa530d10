//! The invariants of an index.

use super::state::PrefixIndex;
use super::tree::{Fork, Tree, sign};
use crate::id::{MAX_TIERS, SourceId};
use crate::rng::mix64;
use crate::runs::{ANCHOR, NodeId, Tally};
use std::collections::BTreeMap;

impl PrefixIndex {
    /// Panics unless the tree is consistent and every run is needed. For tests.
    pub fn check(&self) {
        self.tree.check();
        for (slot, kept) in self.digests.iter().flatten().enumerate() {
            assert_eq!(*kept, self.computed_digest(slot as u16), "digest of slot {slot}");
        }
    }

    /// Panics unless the index has the blocks that each source holds in each tier, and no others. Only
    /// valid when no batch is on the way.
    pub fn check_against(&self, truths: impl Iterator<Item = (SourceId, [Tally; MAX_TIERS])>) {
        let indexed = self.tallies();
        for (source, held) in truths {
            let indexed = indexed.get(&source).copied().unwrap_or_default();
            assert_eq!(indexed, held, "blocks of {source} by tier: index, source");
        }
    }

    fn tallies(&self) -> BTreeMap<SourceId, [Tally; MAX_TIERS]> {
        let mut by_slot = vec![[Tally::default(); MAX_TIERS]; self.slots.len()];
        for (id, node) in self.tree.iter() {
            for claim in node.claims.all() {
                let tally = self.tree.tally(id, claim.from, claim.to);
                for (tier, held) in by_slot[usize::from(claim.slot)].iter_mut().enumerate() {
                    if claim.tiers & 1 << tier != 0 {
                        *held += tally;
                    }
                }
            }
        }
        let named = |(source, held): (&Option<SourceId>, _)| Some(((*source)?, held));
        self.slots.iter().zip(by_slot).filter_map(named).collect()
    }
}

impl Tree {
    /// The checksum of blocks `from..to` of a node.
    fn tally(&self, id: NodeId, from: u32, to: u32) -> Tally {
        let node = self.get(id);
        let end = |chain: &crate::block::Chain, block: u32| {
            let hash = chain.hash(block).to_wire();
            mix64((hash >> 64) as u64 ^ mix64(hash as u64))
        };
        let before = match (from > node.start, node.parent) {
            (true, _) => end(&node.chain, from - 1),
            (false, Some(parent)) => end(&self.get(parent).chain, from - 1),
            (false, None) => 0,
        };
        Tally::of(u64::from(to - from), end(&node.chain, to - 1).wrapping_sub(before))
    }

    fn check(&self) {
        let mut below: BTreeMap<NodeId, Vec<Fork>> = BTreeMap::new();
        let mut anchors = 0;
        for (id, node) in self.iter() {
            assert!(node.start < node.end, "empty run");
            assert_eq!(node.start == 0, node.parent.is_none(), "the start of a text");
            if let Some(parent) = node.parent {
                let above = self.get(parent);
                assert!((above.start + 1..=above.end).contains(&node.start), "not at its parent");
                let forks = below.entry(parent).or_default();
                match forks.iter_mut().find(|fork| fork.at == node.start) {
                    Some(fork) => (fork.children, fork.ids) = (fork.children + 1, fork.ids ^ id.0),
                    None => {
                        let sign = sign(above.chain.hash(node.start - 1));
                        forks.push(Fork { at: node.start, children: 1, ids: id.0, sign });
                    }
                }
            }
            let last = node.forks.last().map_or(0, |fork| fork.at);
            assert_eq!(node.end, last.max(node.claims.end(node.end)), "blocks without a holder");
            for pair in node.claims.all().windows(2) {
                let (a, b) = (pair[0], pair[1]);
                let apart = a.to < b.from || a.to == b.from && a.tiers != b.tiers;
                assert!(a.slot < b.slot || a.slot == b.slot && apart, "claims: {a:?}, {b:?}");
            }
            for claim in node.claims.all() {
                let inside = node.start <= claim.from && claim.to <= node.end;
                assert!(inside && claim.from < claim.to && claim.tiers != 0, "{claim:?}");
            }
            assert_eq!(node.first, node.chain.hash(node.start), "hash of the first block");
            assert_eq!(node.last, node.chain.hash(node.end - 1), "hash of the last block");
            let found = self.starts.find(node.first, node.start, |other| other == id);
            assert_eq!(found, Some(id), "registration of the first block");
            for block in (node.start..node.end).filter(|block| block % ANCHOR == 0) {
                let found = self.anchors.find(node.chain.hash(block), block, |other| other == id);
                assert_eq!(found, Some(id), "registration of block {block}");
                anchors += 1;
            }
        }
        assert_eq!(self.starts.len(), self.len(), "registrations without a run");
        assert_eq!(self.anchors.len(), anchors, "registrations without a block");
        for (id, node) in self.iter() {
            let mut forks = below.remove(&id).unwrap_or_default();
            forks.sort_unstable_by_key(|fork| fork.at);
            assert_eq!(node.forks.as_slice(), forks, "forks");
        }
    }
}
