//! The least recently used first.

use super::{Eviction, Idle};
use crate::runs::NodeId;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Lru {
    order: BTreeSet<(u64, u32, NodeId)>,
}

impl Eviction for Lru {
    fn put(&mut self, run: Idle) {
        self.order.insert(run.order());
    }

    fn take(&mut self, run: &Idle) {
        let was_there = self.order.remove(&run.order());
        debug_assert!(was_there, "{run:?} was not put");
    }

    /// The first is a leaf: whoever used what lies behind it used it too, and put the end first.
    fn victim(&self, is_leaf: &dyn Fn(NodeId) -> bool) -> Option<NodeId> {
        let &(_, _, id) = self.order.first()?;
        debug_assert!(is_leaf(id));
        Some(id)
    }
}
