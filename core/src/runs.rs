//! A forest of block runs: the shape that caches and indexes share.
//!
//! A node is a stretch of blocks that are told apart by nobody; where somebody does, it is split.
//! A long prompt is so one or two nodes, whatever the block size. A node is found by the hash of
//! its first block, which names the whole path above it too, so children need no map of their own.
//! Every [`ANCHOR`]th block of a path is registered besides, so that a run whose first blocks are
//! unknown (an event from the wire) still finds its place.

use crate::block::{BlockHash, BlockRun, Chain};
use crate::hash::Map;
use std::sync::Arc;

/// How far apart the registered blocks of a path are.
pub const ANCHOR: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(u32);

#[derive(Clone, Debug)]
pub struct Node<V> {
    pub chain: Arc<Chain>,
    /// First block, counted from the start of the chain.
    pub start: u32,
    pub end: u32,
    pub parent: Option<NodeId>,
    pub children: u32,
    pub value: V,
}

impl<V> Node<V> {
    #[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub const fn len(&self) -> u32 {
        self.end - self.start
    }

    pub fn run(&self, start: u32, end: u32) -> BlockRun {
        BlockRun { chain: Arc::clone(&self.chain), start, end }
    }
}

#[derive(Clone, Debug)]
pub struct RunTree<V> {
    nodes: Vec<Option<Node<V>>>,
    free: Vec<NodeId>,
    /// First blocks of nodes, and every [`ANCHOR`]th block of a path, to the node that holds them.
    at: Map<BlockHash, NodeId>,
}

impl<V> Default for RunTree<V> {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), at: Map::default() }
    }
}

impl<V: Clone> RunTree<V> {
    pub fn get(&self, id: NodeId) -> &Node<V> {
        self.nodes[id.0 as usize].as_ref().expect("a node that exists")
    }

    pub fn get_mut(&mut self, id: NodeId) -> &mut Node<V> {
        self.nodes[id.0 as usize].as_mut().expect("a node that exists")
    }

    /// All nodes, in an order that only the history decides.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node<V>)> {
        let numbered = self.nodes.iter().enumerate();
        numbered.filter_map(|(i, node)| node.as_ref().map(|node| (NodeId(i as u32), node)))
    }

    pub fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node that goes on with `chain` at block `depth`, and how far it agrees with it (at most
    /// to `limit`). What lies before `depth` must have matched already.
    pub fn follow(&self, chain: &Arc<Chain>, depth: u32, limit: u32) -> Option<(NodeId, u32)> {
        if depth >= limit {
            return None;
        }
        let id = *self.at.get(&chain.hash(depth))?;
        let node = self.get(id);
        Some((id, node.chain.agree_until(chain, depth, node.end.min(limit))))
    }

    /// The node that holds block `depth` of `chain`, of which only the names from the last
    /// [`ANCHOR`] before `depth` need be known. None if no such block is here.
    pub fn locate(&self, chain: &Arc<Chain>, depth: u32) -> Option<NodeId> {
        let mut at = depth - depth % ANCHOR;
        if at < chain.base() {
            return None;
        }
        loop {
            let (id, agreed) = self.follow(chain, at, depth + 1)?;
            if agreed == depth + 1 {
                return Some(id);
            }
            if agreed < self.get(id).end {
                return None;
            }
            at = agreed;
        }
    }

    /// Hangs a run below `parent`, whose end must be where the run starts.
    pub fn insert(&mut self, parent: Option<NodeId>, run: BlockRun, value: V) -> NodeId {
        debug_assert!(!run.is_empty());
        if let Some(parent) = parent {
            debug_assert_eq!(self.get(parent).end, run.start);
            self.get_mut(parent).children += 1;
        }
        let BlockRun { chain, start, end } = run;
        let node = Node { chain, start, end, parent, children: 0, value };
        let id = self.place(node);
        self.register(id, start, end);
        id
    }

    /// Lengthens a node by the next blocks of its own chain.
    pub fn extend(&mut self, id: NodeId, end: u32) {
        let from = self.get(id).end;
        debug_assert_eq!(self.get(id).children, 0);
        self.get_mut(id).end = end;
        for block in from.next_multiple_of(ANCHOR)..end {
            if block % ANCHOR == 0 {
                let hash = self.get(id).chain.hash(block);
                self.at.insert(hash, id);
            }
        }
    }

    /// Replaces the chain that a node's names are read from by one that says the same.
    pub fn rewrite(&mut self, id: NodeId, chain: Arc<Chain>) {
        let node = self.get_mut(id);
        debug_assert_eq!(node.chain.hash(node.start), chain.hash(node.start));
        node.chain = chain;
    }

    /// Cuts a node in two at block `at`. The part from `at` on keeps its id, its children and
    /// whatever points to it; the part before is new, with a copy of the value, and is returned.
    pub fn split(&mut self, id: NodeId, at: u32) -> NodeId {
        let node = self.get(id);
        debug_assert!(node.start < at && at < node.end);
        let head = Node {
            chain: Arc::clone(&node.chain),
            start: node.start,
            end: at,
            parent: node.parent,
            children: 1,
            value: node.value.clone(),
        };
        let start = head.start;
        let head = self.place(head);
        let node = self.get_mut(id);
        node.start = at;
        node.parent = Some(head);
        let hash = node.chain.hash(at);
        self.at.insert(hash, id);
        self.register(head, start, at);
        head
    }

    /// Drops the blocks of a childless node from `end` on; all of them when `end` is its start.
    /// Gives back the parent of a node that is gone.
    pub fn truncate(&mut self, id: NodeId, end: u32) -> Option<NodeId> {
        let node = self.get(id);
        debug_assert!(node.children == 0 && node.start <= end && end <= node.end);
        let (start, old_end) = (node.start, node.end);
        let mut block = if end == start { start } else { end.next_multiple_of(ANCHOR) };
        while block < old_end {
            let hash = self.get(id).chain.hash(block);
            self.at.remove(&hash);
            block = (block + 1).next_multiple_of(ANCHOR);
        }
        if end > start {
            self.get_mut(id).end = end;
            return None;
        }
        let node = self.nodes[id.0 as usize].take().expect("a node that exists");
        self.free.push(id);
        if let Some(parent) = node.parent {
            self.get_mut(parent).children -= 1;
        }
        node.parent
    }

    fn place(&mut self, node: Node<V>) -> NodeId {
        if let Some(id) = self.free.pop() {
            self.nodes[id.0 as usize] = Some(node);
            return id;
        }
        self.nodes.push(Some(node));
        NodeId(u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 runs"))
    }

    fn register(&mut self, id: NodeId, start: u32, end: u32) {
        let mut block = start;
        while block < end {
            let hash = self.get(id).chain.hash(block);
            self.at.insert(hash, id);
            block = (block + 1).next_multiple_of(ANCHOR);
        }
    }

    /// For tests: every registration points where it should.
    pub fn check(&self) {
        let mut registered = 0;
        for (id, node) in self.iter() {
            assert!(node.start < node.end, "an empty run");
            let mut block = node.start;
            while block < node.end {
                assert_eq!(self.at.get(&node.chain.hash(block)), Some(&id), "block {block}");
                registered += 1;
                block = (block + 1).next_multiple_of(ANCHOR);
            }
            if let Some(parent) = node.parent {
                assert_eq!(self.get(parent).end, node.start, "a gap between runs");
            }
        }
        assert_eq!(registered, self.at.len(), "registrations left over");
        let links = self.iter().filter(|(_, node)| node.parent.is_some()).count();
        let children: u32 = self.iter().map(|(_, node)| node.children).sum();
        assert_eq!(links, children as usize, "children miscounted");
    }
}
