//! Adaptive replacement over runs (Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead Replacement
//! Cache", FAST 2003).
//!
//! Runs that one request used and runs that several used are on two lists, each least recently used
//! first. The rule remembers names of evicted blocks. If such a block comes back, its list was too
//! short and gets more room. So a flood of prompts that are used once evicts no shared prompt.
//!
//! The paper works on pages, this rule on runs. So it remembers one name every 512 tokens, which
//! stands for the blocks up to the next one, and twice as many blocks as the tier holds.

use super::order::Order;
use super::{Eviction, Idle};
use crate::block::BlockHash;
use crate::hash::FixedState;
use crate::runs::NodeId;
use ::lru::LruCache;
use std::num::NonZeroUsize;

/// Tokens between two remembered names.
const LANDMARK_TOKENS: u32 = 512;

type Ghosts = LruCache<BlockHash, (), FixedState>;

/// The state of the rule, in the paper's terms: `once` is T1, `again` T2, `gone_once` B1,
/// `gone_again` B2, and `target` p.
#[derive(Debug)]
pub(super) struct Arc {
    capacity: f64,
    stride: u32,
    once: Order,
    once_blocks: u64,
    again: Order,
    /// Wanted size of `once`, in blocks.
    target: f64,
    gone_once: Ghosts,
    gone_again: Ghosts,
}

impl Arc {
    pub fn new(capacity: u64, block_size: u32) -> Self {
        let stride = LANDMARK_TOKENS.div_ceil(block_size);
        let remembered = 2 * capacity.div_ceil(u64::from(stride)).clamp(1, 1 << 32) as usize;
        let ghosts = || {
            let most = NonZeroUsize::new(remembered).expect("at least two");
            let mut ghosts = Ghosts::unbounded_with_hasher(FixedState::default());
            ghosts.resize(most);
            ghosts
        };
        Self {
            capacity: capacity as f64,
            stride,
            once: Order::default(),
            once_blocks: 0,
            again: Order::default(),
            target: 0.0,
            gone_once: ghosts(),
            gone_again: ghosts(),
        }
    }

    /// Blocks by which the target moves when a name of the list of length `back` comes back.
    fn step(&self, back: usize, other: usize) -> f64 {
        let weight = (other as f64 / (back + 1) as f64).max(1.0);
        weight * f64::from(self.stride)
    }
}

impl Eviction for Arc {
    fn put(&mut self, run: Idle) {
        if run.reused {
            self.again.put(&run);
        } else {
            self.once.put(&run);
            self.once_blocks += u64::from(run.blocks);
        }
    }

    fn take(&mut self, run: &Idle) {
        let was_listed = if run.reused {
            self.again.take(run)
        } else {
            self.once_blocks -= u64::from(run.blocks);
            self.once.take(run)
        };
        debug_assert!(was_listed, "{run:?} is not in the order");
    }

    fn victim(&mut self, is_leaf: &dyn Fn(NodeId) -> bool) -> Option<NodeId> {
        let once = self.once.first();
        let again = self.again.first();
        match (once, again) {
            // Ancestors of a reused run are reused, so the first of `once` is a leaf. The first of
            // `again` may have children in `once`.
            (Some(once), Some(again)) => {
                let over = self.once_blocks as f64 > self.target;
                Some(if over || !is_leaf(again) { once } else { again })
            }
            (once, again) => once.or(again),
        }
    }

    fn landmarks(&self) -> Option<u32> {
        Some(self.stride)
    }

    fn forget(&mut self, name: BlockHash, reused: bool) {
        let gone = if reused { &mut self.gone_again } else { &mut self.gone_once };
        gone.put(name, ());
    }

    fn recall(&mut self, name: BlockHash) -> bool {
        let step = if self.gone_once.pop(&name).is_some() {
            self.step(self.gone_once.len(), self.gone_again.len())
        } else if self.gone_again.pop(&name).is_some() {
            -self.step(self.gone_again.len(), self.gone_once.len())
        } else {
            return false;
        };
        self.target = (self.target + step).clamp(0.0, self.capacity);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bits: u128) -> BlockHash {
        BlockHash::from_wire(bits)
    }

    /// Two blocks that were used once come back after eviction. Their list gets more room, and the
    /// least recently used of the reused blocks leaves next.
    #[test]
    fn the_list_that_was_too_short_gets_more_room() {
        let mut tree = crate::runs::RunTree::<()>::default();
        let mut arc = Arc::new(4, 512);
        let ids: Vec<NodeId> = (0..3u128)
            .map(|i| {
                let chain = crate::block::Chain::from_wire(512, 0, vec![name(i + 1)]);
                let run = crate::block::BlockRun { chain, start: 0, end: 1 };
                tree.insert(None, run, ())
            })
            .collect();
        for (used, &id) in ids.iter().enumerate() {
            arc.put(Idle { id, used: used as u64, end: 1, blocks: 1, reused: used == 0 });
        }
        assert_eq!(arc.victim(&|_| true), Some(ids[1]), "the older of the two used once");
        arc.forget(name(7), false);
        arc.forget(name(8), false);
        assert!(!arc.recall(name(9)), "was never evicted");
        assert!(arc.recall(name(7)) && arc.recall(name(8)));
        assert!(!arc.recall(name(8)), "it is cached again");
        assert_eq!(arc.target, 2.0);
        assert_eq!(arc.victim(&|_| true), Some(ids[0]), "two blocks used once may stay now");
        assert_eq!(arc.victim(&|id| id != ids[0]), Some(ids[1]), "its child leaves first");
        arc.forget(name(7), true);
        assert!(arc.recall(name(7)));
        assert_eq!(arc.target, 1.0);
    }
}
