//! Eviction rules: which blocks leave a full tier first. One file for each rule.
//!
//! A rule sees runs, not blocks, and only runs without a lease. Among runs that were last used
//! together, the end of the path leaves first, so a tier always holds whole prefixes.

mod arc;
mod lru;
mod order;

use crate::block::BlockHash;
use crate::runs::NodeId;
use std::fmt::Debug;

pub use crate::engine::tiers::EvictionRule;

/// A run that no lease holds, as a rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// The run's node in the store's tree.
    pub id: NodeId,
    /// A counter at its last use. A parent's is never smaller than its child's.
    pub used: u64,
    /// The depth of its end, in blocks.
    pub end: u32,
    /// Its length in blocks.
    pub blocks: u32,
    /// Whether a second request has used it. Then all runs before it were reused too.
    pub reused: bool,
}

/// An eviction rule.
pub trait Eviction: Debug + Send {
    /// Adds a run: its last lease has ended, or it has come to the tier.
    fn put(&mut self, run: Idle);

    /// Removes a run, with the same fields as when it was added: a lease holds it, or it changes or
    /// leaves.
    fn take(&mut self, run: &Idle);

    /// The run to evict next; None if there is none. It must satisfy `is_leaf`: no other run in the
    /// tier continues it.
    fn victim(&mut self, is_leaf: &dyn Fn(NodeId) -> bool) -> Option<NodeId>;

    /// The distance in blocks between the names that [`Eviction::forget`] and [`Eviction::recall`]
    /// receive; None if the rule remembers no evicted block.
    fn landmarks(&self) -> Option<u32> {
        None
    }

    /// A block was evicted. `reused`: as in [`Idle`].
    fn forget(&mut self, name: BlockHash, reused: bool) {
        let _ = (name, reused);
    }

    /// A block has come to the tier. Returns true if it was evicted too early.
    fn recall(&mut self, name: BlockHash) -> bool {
        let _ = name;
        false
    }
}

/// The rule for a tier of `capacity` blocks of `block_size` tokens; None: no limit.
pub fn build(rule: EvictionRule, capacity: Option<u64>, block_size: u32) -> Box<dyn Eviction> {
    match (rule, capacity) {
        (EvictionRule::Arc, Some(blocks)) => Box::new(arc::Arc::new(blocks, block_size)),
        // A tier without a limit never evicts.
        _ => Box::new(lru::Lru::default()),
    }
}
