//! Least recently used first.

use super::order::Order;
use super::{Eviction, Idle};
use crate::runs::NodeId;

/// The runs in the order of their last use.
#[derive(Debug, Default)]
pub(super) struct Lru {
    order: Order,
}

impl Eviction for Lru {
    fn put(&mut self, run: Idle) {
        self.order.put(&run);
    }

    fn take(&mut self, run: &Idle) {
        let was_listed = self.order.take(run);
        debug_assert!(was_listed, "{run:?} is not in the order");
    }

    /// The first run is a leaf: a use of its child is also a use of it, and lists the child first.
    fn victim(&mut self, is_leaf: &dyn Fn(NodeId) -> bool) -> Option<NodeId> {
        let id = self.order.first()?;
        debug_assert!(is_leaf(id));
        Some(id)
    }
}
