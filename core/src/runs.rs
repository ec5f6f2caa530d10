//! A forest of block runs: the shape that caches and indexes share.
//!
//! A node is a stretch of blocks that are told apart by nobody; where somebody does, it is split, and
//! where nobody does any more, it can be joined again. A long prompt is so one or two nodes, whatever
//! the block size. A node is found by the hash of its first block, which names the whole path above
//! it too, so children need no map of their own.
//!
//! Where much is hung below what was there before, the last blocks of nodes are registered too
//! ([`RunTree::with_ends`]), and the place is found at once. Where runs come whose first blocks are
//! unknown (an event from the wire), every [`ANCHOR`]th block of a path is registered besides
//! ([`RunTree::with_anchors`]).

mod check;
mod slab;

use crate::block::{BlockHash, BlockRun, Chain};
use crate::hash::Map;
use crate::rng::mix64;
use slab::Slab;
use std::sync::Arc;

/// How far apart the registered blocks of a path are.
pub const ANCHOR: u32 = 64;

/// The first block whose name must be known of a run that starts at block `start`, so that the block
/// above it can be found.
pub const fn anchor_above(start: u32) -> u32 {
    let above = start.saturating_sub(1);
    above - above % ANCHOR
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(u32);

impl NodeId {
    /// For tables beside a forest: ids are given densely from 0, and again when they are free.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug)]
pub struct Node<V> {
    pub chain: Arc<Chain>,
    /// First block, counted from the start of the chain.
    pub start: u32,
    pub end: u32,
    pub parent: Option<NodeId>,
    pub children: u32,
    /// The ids of the children, one XORed on the other: with an only child, its id.
    child_ids: u32,
    /// The names of the first block, under which it is registered, and of the last, which a look-up
    /// compares before any other.
    first: BlockHash,
    last: BlockHash,
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

/// Which blocks some runs hold, in one sum that is the same however they are cut: of each run the
/// name it ends with, less the name it goes on from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    pub blocks: u64,
    names: u64,
}

impl core::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.blocks += more.blocks;
        self.names = self.names.wrapping_add(more.names);
    }
}

#[derive(Clone, Debug)]
pub struct RunTree<V> {
    nodes: Slab<Node<V>>,
    /// First blocks of nodes, and what else is registered, to the node that holds them: by name and
    /// depth ([`key`]).
    at: Map<BlockHash, NodeId>,
    /// Last blocks too.
    ends: bool,
    /// And blocks of a path that are so far apart.
    stride: u32,
}

/// What a block is registered by. A name says how deep its block lies; but whoever sends runs may be
/// wrong about that, and then what he names must not be taken for what others have, nor take its place.
const fn key(name: BlockHash, depth: u32) -> BlockHash {
    // By an odd number, so that no two depths are alike.
    let spread = (depth as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    BlockHash::from_wire(name.to_wire() ^ (spread as u128) << 64)
}

impl<V> Default for RunTree<V> {
    fn default() -> Self {
        // The only multiple that a path has is its first block, which is registered anyway.
        let stride = u32::MAX;
        Self { nodes: Slab::default(), at: Map::default(), ends: false, stride }
    }
}

impl<V> RunTree<V> {
    /// A forest in which the node that ends with a block is found by that block's name.
    pub fn with_ends() -> Self {
        Self { ends: true, ..Self::default() }
    }

    /// With every [`ANCHOR`]th block of a path registered besides.
    #[must_use]
    pub fn with_anchors(self) -> Self {
        Self { stride: ANCHOR, ..self }
    }
}

impl<V: Clone> RunTree<V> {
    pub fn get(&self, id: NodeId) -> &Node<V> {
        self.nodes.get(id)
    }

    pub fn get_mut(&mut self, id: NodeId) -> &mut Node<V> {
        self.nodes.get_mut(id)
    }

    /// All nodes, in an order that only the history decides.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node<V>)> {
        self.nodes.iter()
    }

    pub fn tally(&self, id: NodeId) -> Tally {
        let end = |node: &Node<V>| {
            let name = node.last.to_wire();
            mix64((name >> 64) as u64 ^ mix64(name as u64))
        };
        let node = self.get(id);
        let before = node.parent.map_or(0, |parent| end(self.get(parent)));
        Tally { blocks: u64::from(node.len()), names: end(node).wrapping_sub(before) }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
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
        let id = self.registered(chain, depth)?;
        // So it is unless names were made up to be taken for others.
        let node = self.get(id);
        let is_there = (node.start..node.end).contains(&depth);
        is_there.then(|| (id, self.agreed(id, chain, depth + 1, limit)))
    }

    /// As [`RunTree::follow`]; what lies before `depth` ends with `parent`, so often there is nothing
    /// to look up.
    pub fn follow_below(
        &self,
        parent: Option<NodeId>,
        chain: &Arc<Chain>,
        depth: u32,
        limit: u32,
    ) -> Option<(NodeId, u32)> {
        let Some(parent) = parent else { return self.follow(chain, depth, limit) };
        match self.only_child(parent) {
            None if self.get(parent).children == 0 => None,
            Some(child) if depth < limit && Arc::ptr_eq(&self.get(child).chain, chain) => {
                Some((child, self.get(child).end.min(limit)))
            }
            _ => self.follow(chain, depth, limit),
        }
    }

    /// How far a node agrees with `chain`, at most to `limit`. They must agree before `from`.
    pub fn agreed(&self, id: NodeId, chain: &Arc<Chain>, from: u32, limit: u32) -> u32 {
        let node = self.get(id);
        let to = node.end.min(limit);
        if from >= to || Arc::ptr_eq(&node.chain, chain) {
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

    /// The node that holds block `depth` of `chain`, of which only the names from the last
    /// anchor before `depth` need be known. None if no such block is here.
    pub fn locate(&self, chain: &Arc<Chain>, depth: u32) -> Option<NodeId> {
        let mut at = depth - depth % self.stride;
        if at < chain.base() {
            return None;
        }
        if let Some(id) = self.registered(chain, depth) {
            return Some(id);
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
        self.register(id, start, end);
        self.register_end(id);
        id
    }

    /// Lengthens a node by the next blocks of its own chain.
    pub fn extend(&mut self, id: NodeId, end: u32) {
        let from = self.get(id).end;
        debug_assert_eq!(self.get(id).children, 0);
        self.unregister_end(id);
        let node = self.get_mut(id);
        node.end = end;
        node.last = node.chain.hash(end - 1);
        self.register(id, from.next_multiple_of(self.stride), end);
        self.register_end(id);
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
            child_ids: id.0,
            first: node.first,
            last: node.chain.hash(at - 1),
            value: node.value.clone(),
        };
        let (start, parent) = (head.start, head.parent);
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
        self.register(head, start, at);
        self.register_end(head);
        head
    }

    /// Drops the blocks of a childless node from `end` on; all of them when `end` is its start.
    /// Gives back the parent of a node that is gone.
    pub fn truncate(&mut self, id: NodeId, end: u32) -> Option<NodeId> {
        let node = self.get(id);
        debug_assert!(node.children == 0 && node.start <= end && end <= node.end);
        let (start, old_end) = (node.start, node.end);
        self.unregister_end(id);
        let mut block = if end == start { start } else { end.next_multiple_of(self.stride) };
        while block < old_end {
            let name = self.name(id, block);
            self.at.remove(&key(name, block));
            block = (block + 1).next_multiple_of(self.stride);
        }
        if end > start {
            let node = self.get_mut(id);
            node.end = end;
            node.last = node.chain.hash(end - 1);
            self.register_end(id);
            return None;
        }
        let node = self.nodes.remove(id);
        if let Some(parent) = node.parent {
            let parent = self.get_mut(parent);
            parent.children -= 1;
            parent.child_ids ^= id.0;
        }
        node.parent
    }

    pub fn only_child(&self, id: NodeId) -> Option<NodeId> {
        let node = self.get(id);
        (node.children == 1).then_some(NodeId(node.child_ids))
    }

    /// The reverse of [`RunTree::split`]: a node and its only child are one again, under the child's
    /// id, with its value and its chain, which must name the blocks of both.
    pub fn join(&mut self, id: NodeId) -> NodeId {
        let child = self.only_child(id).expect("a node with an only child");
        self.unregister_end(id);
        let (ends, stride) = (self.ends, self.stride);
        let head = self.nodes.remove(id);
        if let Some(parent) = head.parent {
            self.get_mut(parent).child_ids ^= id.0 ^ child.0;
        }
        let node = self.get_mut(child);
        debug_assert!(node.chain.base() <= head.start);
        let (at, first) = (node.start, node.first);
        (node.start, node.parent, node.first) = (head.start, head.parent, head.first);
        let is_end = ends && at + 1 == node.end;
        if !is_end && !at.is_multiple_of(stride) {
            self.at.remove(&key(first, at));
        }
        self.register(child, head.start, at);
        child
    }

    /// What lies from block `at` on of a node becomes its only child's, whose chain must name it too:
    /// a [`RunTree::split`] there and a [`RunTree::join`] at once. Something is left of the node.
    pub fn hand_down(&mut self, id: NodeId, at: u32) {
        let child = self.only_child(id).expect("a node with an only child");
        self.unregister_end(id);
        let node = self.get_mut(id);
        debug_assert!(node.start < at && at < node.end);
        let border = core::mem::replace(&mut node.end, at);
        node.last = node.chain.hash(at - 1);
        self.register_end(id);
        let (ends, stride) = (self.ends, self.stride);
        let node = self.get_mut(child);
        debug_assert!(node.chain.base() <= at);
        let was_first = core::mem::replace(&mut node.first, node.chain.hash(at));
        node.start = at;
        let is_end = ends && border + 1 == node.end;
        if !is_end && !border.is_multiple_of(stride) {
            self.at.remove(&key(was_first, border));
        }
        self.register(child, at, border);
    }

    /// First blocks and anchors from block `start` on, which is one of them.
    fn register(&mut self, id: NodeId, start: u32, end: u32) {
        let mut block = start;
        while block < end {
            let name = self.name(id, block);
            self.at.insert(key(name, block), id);
            block = (block + 1).next_multiple_of(self.stride);
        }
    }

    fn name(&self, id: NodeId, block: u32) -> BlockHash {
        let node = self.get(id);
        if block == node.start { node.first } else { node.chain.hash(block) }
    }

    fn register_end(&mut self, id: NodeId) {
        if self.ends {
            let node = self.get(id);
            let last = key(node.last, node.end - 1);
            self.at.insert(last, id);
        }
    }

    /// The last block will be another. A first block and an anchor stay what they are.
    fn unregister_end(&mut self, id: NodeId) {
        let node = self.get(id);
        let block = node.end - 1;
        if self.ends && block != node.start && !block.is_multiple_of(self.stride) {
            let last = key(node.last, block);
            self.at.remove(&last);
        }
    }
}
