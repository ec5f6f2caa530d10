//! Which blocks leave a full tier first. One rule a file.
//!
//! A rule sees runs, not blocks, and only those that nobody holds. Of what was last used together
//! the end of the path goes first, so what stays is always a set of whole prefixes.

mod arc;
mod lru;
mod order;

use crate::block::BlockHash;
use crate::runs::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// A run of a tier that nobody holds.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    pub id: NodeId,
    /// When it was last used; grows with every use. A run's parent was never used before it.
    pub used: u64,
    /// The depth at which it ends, in blocks.
    pub end: u32,
    pub blocks: u32,
    /// A second request has used it. Then all before it on the path was reused too.
    pub reused: bool,
}

/// A rule that says what leaves.
pub trait Eviction: Debug + Send {
    fn put(&mut self, run: Idle);

    /// Takes out a run that was put, with the same facts: it is held again, changes, or leaves.
    fn take(&mut self, run: &Idle);

    /// The next to leave. `is_leaf`: nothing in the tier goes on from this run; only such a run may
    /// be chosen.
    fn victim(&mut self, is_leaf: &dyn Fn(NodeId) -> bool) -> Option<NodeId>;

    /// How far apart, in blocks, the names are that the rule wants to hear of when they leave; None
    /// if it remembers nothing of what is gone.
    fn landmarks(&self) -> Option<u32> {
        None
    }

    /// The block of this name was thrown out.
    fn forget(&mut self, name: BlockHash, reused: bool) {
        let _ = (name, reused);
    }

    /// The block of this name has come; true if it was thrown out too early.
    fn recall(&mut self, name: BlockHash) -> bool {
        let _ = name;
        false
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvictionRule {
    /// The least recently used first.
    #[default]
    Lru,
    /// Adaptive: what was used once and what was used again, each least recently used first.
    Arc,
}

impl EvictionRule {
    pub fn build(self, capacity: Option<u64>, block_size: u32) -> Box<dyn Eviction> {
        match (self, capacity) {
            (Self::Arc, Some(blocks)) => Box::new(arc::Arc::new(blocks, block_size)),
            // What is never full throws nothing out.
            _ => Box::new(lru::Lru::default()),
        }
    }
}
