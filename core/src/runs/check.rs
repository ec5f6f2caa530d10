//! What must hold of a forest, whatever was done to it.

use super::RunTree;

impl<V: Clone> RunTree<V> {
    /// For tests, and at rest: nodes fit together; in a debug build also that every registration
    /// points where it should, which costs as much as to build the forest anew.
    pub fn check(&self) {
        let mut below = vec![(0, 0); self.nodes.numbered()];
        for (id, node) in self.iter() {
            assert!(node.start < node.end, "an empty run");
            if let Some(parent) = node.parent {
                assert_eq!(self.get(parent).end, node.start, "a gap between runs");
                let (children, ids) = &mut below[parent.index()];
                (*children, *ids) = (*children + 1, *ids ^ id.0);
            }
        }
        for (id, node) in self.iter() {
            assert_eq!((node.children, node.child_ids), below[id.index()], "children miscounted");
        }
        if cfg!(debug_assertions) {
            self.check_names();
        }
    }

    fn check_names(&self) {
        let mut registered = 0;
        for (id, node) in self.iter() {
            assert_eq!(node.first, node.chain.hash(node.start), "the name of the first block");
            let mut block = node.start;
            while block < node.end {
                let at = self.registered(&node.chain, block);
                assert_eq!(at, Some(id), "block {block}");
                registered += 1;
                block = (block + 1).next_multiple_of(self.stride);
            }
            let last = node.end - 1;
            assert_eq!(node.last, node.chain.hash(last), "the name of block {last}");
            if self.ends && last != node.start && !last.is_multiple_of(self.stride) {
                let at = self.registered(&node.chain, last);
                assert_eq!(at, Some(id), "the end at block {last}");
                registered += 1;
            }
        }
        assert_eq!(registered, self.at.len(), "registrations left over");
    }
}
