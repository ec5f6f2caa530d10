//! One tier's room and its eviction order: least recently used first.

use crate::hash::FixedState;
use crate::runs::NodeId;
use lru::LruCache;

#[derive(Debug)]
pub(super) struct Tier {
    /// None: without limit.
    pub capacity: Option<u64>,
    /// Blocks with a name.
    pub resident: u64,
    /// Of those, blocks that nobody holds.
    pub idle: u64,
    /// Runs that nobody holds. A run falls free after the runs below it, so the oldest is always
    /// the end of a path.
    order: LruCache<NodeId, (), FixedState>,
}

impl Tier {
    pub fn new(capacity: Option<u64>) -> Self {
        let order = LruCache::unbounded_with_hasher(FixedState::default());
        Self { capacity, resident: 0, idle: 0, order }
    }

    /// A run fell free, just now.
    pub fn let_go(&mut self, id: NodeId, len: u32) {
        self.order.put(id, ());
        self.idle += u64::from(len);
    }

    /// A run is held, or leaves the tier.
    pub fn keep(&mut self, id: NodeId, len: u32) {
        self.order.pop(&id);
        self.idle -= u64::from(len);
    }

    /// The end of a free run is gone; all of it if `whole`.
    pub fn forget(&mut self, id: NodeId, len: u32, whole: bool) {
        if whole {
            self.order.pop(&id);
        }
        self.idle -= u64::from(len);
    }

    /// The head of a free run was split off. It is either about to be held, or the head of the
    /// oldest run, whose place it takes.
    pub fn split_off(&mut self, head: NodeId) {
        self.order.put(head, ());
        self.order.demote(&head);
    }

    pub fn oldest(&self) -> Option<NodeId> {
        self.order.peek_lru().map(|(&id, ())| id)
    }

    pub fn in_order(&self, id: NodeId) -> bool {
        self.order.contains(&id)
    }

    pub fn check(&self, resident: u64, idle: u64) {
        assert_eq!((self.resident, self.idle), (resident, idle), "blocks miscounted");
    }
}
