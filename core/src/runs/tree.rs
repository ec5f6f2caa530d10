//! The run tree: look-ups, and edits that keep the table of registered blocks correct.

use super::node::{Node, NodeId, Tally};
use super::slab::Slab;
use crate::block::{BlockHash, BlockRun, Chain};
use crate::hash::Map;
use crate::rng::mix64;

/// A tree of block runs with a value for each run.
#[derive(Clone, Debug)]
pub struct RunTree<V> {
    pub(super) nodes: Slab<Node<V>>,
    /// The registered blocks and the node that holds each, by [`key`].
    pub(super) at: Map<BlockHash, NodeId>,
    /// Whether the last block of each node is registered.
    pub(super) ends: bool,
}

/// The key of a registered block: its hash and its depth. A hash implies a depth, but a worker may
/// send a run at a wrong depth. With the depth in the key, such a run neither matches nor replaces
/// the blocks of other workers.
const fn key(hash: BlockHash, depth: u32) -> BlockHash {
    // The multiplier is odd, so different depths give different products.
    let spread = (depth as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    BlockHash::from_wire(hash.to_wire() ^ (spread as u128) << 64)
}

impl<V> Default for RunTree<V> {
    fn default() -> Self {
        Self { nodes: Slab::default(), at: Map::default(), ends: false }
    }
}

impl<V> RunTree<V> {
    /// A tree that also registers the last block of each node.
    pub fn with_ends() -> Self {
        Self { ends: true, ..Self::default() }
    }
}

impl<V: Clone> RunTree<V> {
    /// A node. Panics if there is none with this id.
    pub fn get(&self, id: NodeId) -> &Node<V> {
        self.nodes.get(id)
    }

    /// A node, to change its value. Panics if there is none with this id.
    pub fn get_mut(&mut self, id: NodeId) -> &mut Node<V> {
        self.nodes.get_mut(id)
    }

    /// All nodes. Their order depends only on the calls so far.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node<V>)> {
        self.nodes.iter()
    }

    /// The checksum of a node's blocks.
    pub fn tally(&self, id: NodeId) -> Tally {
        let end = |node: &Node<V>| {
            let hash = node.last.to_wire();
            mix64((hash >> 64) as u64 ^ mix64(hash as u64))
        };
        let node = self.get(id);
        let before = node.parent.map_or(0, |parent| end(self.get(parent)));
        Tally { blocks: u64::from(node.len()), hashes: end(node).wrapping_sub(before) }
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node with block `depth` of `chain`, and the block until which both agree (at most
    /// `limit`). All blocks before `depth` must have matched already.
    pub fn follow(&self, chain: &Chain, depth: u32, limit: u32) -> Option<(NodeId, u32)> {
        if depth >= limit {
            return None;
        }
        let id = self.registered(chain, depth)?;
        // A worker may send made-up hashes, so check that the node has this block.
        let node = self.get(id);
        let has_block = (node.start..node.end).contains(&depth);
        has_block.then(|| (id, self.agreed(id, chain, depth + 1, limit)))
    }

    /// The same as [`RunTree::follow`] where the node before `depth` is known, which often saves the
    /// look-up.
    pub fn follow_below(
        &self,
        parent: Option<NodeId>,
        chain: &Chain,
        depth: u32,
        limit: u32,
    ) -> Option<(NodeId, u32)> {
        let Some(parent) = parent else { return self.follow(chain, depth, limit) };
        match self.only_child(parent) {
            None if self.get(parent).children == 0 => None,
            Some(child) if depth < limit && self.get(child).chain.is_same(chain) => {
                Some((child, self.get(child).end.min(limit)))
            }
            _ => self.follow(chain, depth, limit),
        }
    }

    /// The block until which a node agrees with `chain`, at most `limit`. They must agree before
    /// `from`.
    pub fn agreed(&self, id: NodeId, chain: &Chain, from: u32, limit: u32) -> u32 {
        let node = self.get(id);
        let to = node.end.min(limit);
        if from >= to || node.chain.is_same(chain) {
            return to;
        }
        if to < node.end {
            return node.chain.agree_until(chain, from, to);
        }
        if node.last == chain.hash(to - 1) {
            return to;
        }
        node.chain.agree_until(chain, from, to - 1)
    }

    /// The node that holds block `depth` of `chain`, if that block is registered.
    pub fn registered(&self, chain: &Chain, depth: u32) -> Option<NodeId> {
        self.at.get(&key(chain.hash(depth), depth)).copied()
    }

    /// Inserts a run as a child of `parent`, which must end where the run starts.
    pub fn insert(&mut self, parent: Option<NodeId>, run: BlockRun, value: V) -> NodeId {
        debug_assert!(!run.is_empty());
        let BlockRun { chain, start, end } = run;
        let (first, last) = (chain.hash(start), chain.hash(end - 1));
        let node =
            Node { chain, start, end, parent, children: 0, child_ids: 0, first, last, value };
        let id = self.nodes.insert(node);
        if let Some(parent) = parent {
            let parent = self.get_mut(parent);
            debug_assert_eq!(parent.end, start);
            parent.children += 1;
            parent.child_ids ^= id.0;
        }
        self.at.insert(key(first, start), id);
        self.register_end(id);
        id
    }

    /// Extends a childless node to block `end` of its own chain.
    pub fn extend(&mut self, id: NodeId, end: u32) {
        debug_assert_eq!(self.get(id).children, 0);
        self.unregister_end(id);
        let node = self.get_mut(id);
        node.end = end;
        node.last = node.chain.hash(end - 1);
        self.register_end(id);
    }

    /// Splits a node at block `at`. The part from `at` on keeps its id and its children. The part
    /// before is a new node with a copy of the value; its id is returned.
    pub fn split(&mut self, id: NodeId, at: u32) -> NodeId {
        let node = self.get(id);
        debug_assert!(node.start < at && at < node.end);
        let head = Node {
            chain: node.chain.clone(),
            start: node.start,
            end: at,
            parent: node.parent,
            children: 1,
            child_ids: id.0,
            first: node.first,
            last: node.chain.hash(at - 1),
            value: node.value.clone(),
        };
        let (start, parent, begin) = (head.start, head.parent, head.first);
        let head = self.nodes.insert(head);
        if let Some(parent) = parent {
            self.get_mut(parent).child_ids ^= id.0 ^ head.0;
        }
        let node = self.get_mut(id);
        node.start = at;
        node.parent = Some(head);
        node.first = node.chain.hash(at);
        let first = node.first;
        self.at.insert(key(first, at), id);
        self.at.insert(key(begin, start), head);
        self.register_end(head);
        head
    }

    /// Removes the blocks of a childless node from `end` on. If `end` is its start, removes the node
    /// and returns its parent.
    pub fn truncate(&mut self, id: NodeId, end: u32) -> Option<NodeId> {
        let node = self.get(id);
        debug_assert!(node.children == 0 && node.start <= end && end <= node.end);
        let (start, first) = (node.start, node.first);
        self.unregister_end(id);
        if end > start {
            let node = self.get_mut(id);
            node.end = end;
            node.last = node.chain.hash(end - 1);
            self.register_end(id);
            return None;
        }
        self.at.remove(&key(first, start));
        let node = self.nodes.remove(id);
        if let Some(parent) = node.parent {
            let parent = self.get_mut(parent);
            parent.children -= 1;
            parent.child_ids ^= id.0;
        }
        node.parent
    }

    /// The child of a node with exactly one child.
    pub fn only_child(&self, id: NodeId) -> Option<NodeId> {
        let node = self.get(id);
        (node.children == 1).then_some(NodeId(node.child_ids))
    }

    /// Joins a node with its only child, the reverse of [`RunTree::split`]. The result has the id,
    /// the value and the chain of the child. That chain must know the hashes of both. Panics unless
    /// there is exactly one child.
    pub fn join(&mut self, id: NodeId) -> NodeId {
        let child = self.only_child(id).expect("a node with one child");
        self.unregister_end(id);
        let ends = self.ends;
        let head = self.nodes.remove(id);
        if let Some(parent) = head.parent {
            self.get_mut(parent).child_ids ^= id.0 ^ child.0;
        }
        let node = self.get_mut(child);
        debug_assert!(node.chain.base() <= head.start);
        let (at, first) = (node.start, node.first);
        (node.start, node.parent, node.first) = (head.start, head.parent, head.first);
        let is_end = ends && at + 1 == node.end;
        if !is_end {
            self.at.remove(&key(first, at));
        }
        self.at.insert(key(head.first, head.start), child);
        child
    }

    /// Moves the blocks of a node from `at` on to its only child: a [`RunTree::split`] and a
    /// [`RunTree::join`] in one. The child's chain must know their hashes, and the node must keep at
    /// least one block. Panics unless there is exactly one child.
    pub fn hand_down(&mut self, id: NodeId, at: u32) {
        let child = self.only_child(id).expect("a node with one child");
        self.unregister_end(id);
        let node = self.get_mut(id);
        debug_assert!(node.start < at && at < node.end);
        let border = core::mem::replace(&mut node.end, at);
        node.last = node.chain.hash(at - 1);
        self.register_end(id);
        let ends = self.ends;
        let node = self.get_mut(child);
        debug_assert!(node.chain.base() <= at);
        let first = node.chain.hash(at);
        let was_first = core::mem::replace(&mut node.first, first);
        node.start = at;
        let is_end = ends && border + 1 == node.end;
        if !is_end {
            self.at.remove(&key(was_first, border));
        }
        self.at.insert(key(first, at), child);
    }

    fn register_end(&mut self, id: NodeId) {
        if self.ends {
            let node = self.get(id);
            let last = key(node.last, node.end - 1);
            self.at.insert(last, id);
        }
    }

    /// Unregisters the last block, unless it is also registered as the first block.
    fn unregister_end(&mut self, id: NodeId) {
        let node = self.get(id);
        let block = node.end - 1;
        if self.ends && block != node.start {
            let last = key(node.last, block);
            self.at.remove(&last);
        }
    }
}
