//! The invariants of an index.

use super::state::PrefixIndex;
use crate::id::{MAX_TIERS, SourceId};
use crate::runs::Tally;
use std::collections::BTreeMap;

impl PrefixIndex {
    /// Panics unless the tree is consistent and each run has a holder. For tests.
    pub fn check(&self) {
        self.tree.check();
        for (slot, kept) in self.digests.iter().flatten().enumerate() {
            assert_eq!(*kept, self.computed_digest(slot as u16), "digest of slot {slot}");
        }
        for (_, node) in self.tree.iter() {
            assert!(node.children > 0 || !node.value.is_empty(), "run without a holder");
            assert!(node.value.is_sorted_by(|a, b| a.slot < b.slot), "holders are not sorted");
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
            let tally = self.tree.tally(id);
            for holder in &node.value {
                for (tier, held) in by_slot[usize::from(holder.slot)].iter_mut().enumerate() {
                    if holder.tiers & 1 << tier != 0 {
                        *held += tally;
                    }
                }
            }
        }
        let named = |(source, held): (&Option<SourceId>, _)| Some(((*source)?, held));
        self.slots.iter().zip(by_slot).filter_map(named).collect()
    }
}
