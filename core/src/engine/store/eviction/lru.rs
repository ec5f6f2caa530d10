//! The least recently used first.

use super::order::Order;
use super::{Eviction, Idle};
use crate::runs::NodeId;

#[derive(Debug, Default)]
pub(super) struct Lru {
    order: Order,
}

impl Eviction for Lru {
    fn put(&mut self, run: Idle) {
        self.order.put(&run);
    }

    fn take(&mut self, run: &Idle) {
        let was_there = self.order.take(run);
        debug_assert!(was_there, "{run:?} was not put");
    }

    /// The first is a leaf: whoever used what lies behind it used it too, and put the end first.
    fn victim(&mut self, is_leaf: &dyn Fn(NodeId) -> bool) -> Option<NodeId> {
        let id = self.order.first()?;
        debug_assert!(is_leaf(id));
        Some(id)
    }
}
