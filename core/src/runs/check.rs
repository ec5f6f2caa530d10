//! The invariants of a run tree.

use super::tree::RunTree;

impl<V: Clone> RunTree<V> {
    /// Panics unless parents and children fit together. A debug build also checks every registered
    /// block, which costs as much as building the tree. For tests.
    pub fn check(&self) {
        let mut below = vec![(0, 0); self.nodes.numbered()];
        for (id, node) in self.iter() {
            assert!(node.start < node.end, "empty run");
            if let Some(parent) = node.parent {
                assert_eq!(self.get(parent).end, node.start, "gap between parent and child");
                let (children, ids) = &mut below[parent.index()];
                (*children, *ids) = (*children + 1, *ids ^ id.0);
            }
        }
        for (id, node) in self.iter() {
            assert_eq!((node.children, node.child_ids), below[id.index()], "wrong children");
        }
        if cfg!(debug_assertions) {
            self.check_hashes();
        }
    }

    fn check_hashes(&self) {
        let mut registered = 0;
        for (id, node) in self.iter() {
            assert_eq!(node.first, node.chain.hash(node.start), "hash of the first block");
            let at = self.registered(&node.chain, node.start);
            assert_eq!(at, Some(id), "registration of block {}", node.start);
            registered += 1;
            let last = node.end - 1;
            assert_eq!(node.last, node.chain.hash(last), "hash of the last block {last}");
            if self.ends && last != node.start {
                let at = self.registered(&node.chain, last);
                assert_eq!(at, Some(id), "registration of the last block {last}");
                registered += 1;
            }
        }
        assert_eq!(registered, self.at.len(), "registrations without a block");
    }
}
