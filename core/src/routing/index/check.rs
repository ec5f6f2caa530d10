//! What must hold of an index, whatever was done to it.

use super::PrefixIndex;
use crate::id::{MAX_TIERS, SourceId};
use crate::runs::Tally;
use std::collections::BTreeMap;

impl PrefixIndex {
    /// For tests: the forest is sound, and nothing is kept that nobody holds.
    pub fn check(&self) {
        self.tree.check();
        for (slot, kept) in self.digests.iter().flatten().enumerate() {
            assert_eq!(*kept, self.summed_up(slot as u16), "the kept digest of slot {slot}");
        }
        for (_, node) in self.tree.iter() {
            assert!(node.children > 0 || !node.value.is_empty(), "a run without holder is kept");
            assert!(node.value.is_sorted_by(|a, b| a.slot < b.slot), "holders out of order");
        }
    }

    /// At rest: of each source the index holds what that says it has in each tier, and nothing else.
    pub fn check_against(&self, truths: impl Iterator<Item = (SourceId, [Tally; MAX_TIERS])>) {
        let believed = self.tallies();
        for (source, held) in truths {
            let believed = believed.get(&source).copied().unwrap_or_default();
            assert_eq!(believed, held, "blocks of {source} by tier: in the index, and there");
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
