//! What must hold of an index, whatever was done to it.

use super::PrefixIndex;
use crate::block::BlockRun;
use crate::event::Snapshot;
use crate::id::{SourceId, TierId};
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

    /// For tests, and at rest: of each source that speaks here the index holds what that says, and
    /// nothing else. Run by run, so it costs nothing like a digest of all blocks.
    pub fn check_against(&self, truths: impl Iterator<Item = Snapshot>) {
        let mut claimed = self.claimed();
        for truth in truths {
            let source = truth.source;
            for (tier, run) in &truth.runs {
                assert!(
                    self.claims(source, *tier, run),
                    "{source} holds blocks {} to {} of a prompt in {tier}, the index does not know",
                    run.start,
                    run.end
                );
            }
            // Runs of one source don't overlap, so where nothing is missing equal counts are equal
            // sets.
            let held: u64 = truth.runs.iter().map(|(_, run)| u64::from(run.len())).sum();
            let believed = claimed.remove(&source).unwrap_or(0);
            assert_eq!(believed, held, "blocks of {source}: in the index, and there");
        }
    }

    /// How many (tier, block) pairs each source is taken to hold.
    fn claimed(&self) -> BTreeMap<SourceId, u64> {
        let mut by_slot = vec![0; self.slots.len()];
        for (_, node) in self.tree.iter() {
            for holder in &node.value {
                let copies = u64::from(holder.tiers.count_ones());
                by_slot[usize::from(holder.slot)] += u64::from(node.len()) * copies;
            }
        }
        self.slots
            .iter()
            .zip(by_slot)
            .filter_map(|(source, held)| Some(((*source)?, held)))
            .collect()
    }

    fn claims(&self, source: SourceId, tier: TierId, run: &BlockRun) -> bool {
        let Some(state) = self.sources.get(&source) else { return false };
        let Some((last, end)) = self.deepest(run) else { return run.is_empty() };
        let mut next = Some(last);
        while let Some(id) = next {
            let node = self.tree.get(id);
            let place = node.value.binary_search_by_key(&state.slot, |holder| holder.slot);
            if !place.is_ok_and(|i| node.value[i].tiers & (1 << tier.0) != 0) {
                return false;
            }
            next = node.parent.filter(|_| node.start > run.start);
        }
        end == run.end
    }
}
