//! The tree of texts that an index knows: its nodes, the tables that find them, and how it grows and
//! shrinks.
//!
//! A node is a run of blocks. Another text may leave it at any block, so a node is not split where
//! texts part, nor where the holders of its blocks differ. It ends at its last block that is held or
//! that another node continues.

use super::claim::Claims;
use super::table::Table;
use crate::block::{BlockHash, Chain, until};
use crate::runs::{ANCHOR, NodeId, Slab};
use smallvec::SmallVec;

/// A run of blocks, and who holds which of them. What most look-ups read comes first, in one line of
/// the processor's cache.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Node {
    /// The hash of the first block, by which the node is found.
    pub(super) first: BlockHash,
    /// The hash of the last block, which a look-up compares first.
    pub(super) last: BlockHash,
    /// The first block, counted from the start of the text.
    pub(super) start: u32,
    /// The block after the last one.
    pub(super) end: u32,
    pub(super) claims: Claims,
    /// Where other nodes continue this one, in order.
    pub(super) forks: SmallVec<[Fork; 1]>,
    /// The hashes of the path.
    pub(super) chain: Chain,
    /// The node with the block before this one. None at the start of a text.
    pub(super) parent: Option<NodeId>,
}

/// A block of a node at which other nodes start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fork {
    pub(super) at: u32,
    /// The number of nodes that start here.
    pub(super) children: u32,
    /// The XOR of their numbers: with one child, its number.
    pub(super) ids: u32,
    /// Bits of the hash of the block before, so that a look-up need not read the node's chain.
    pub(super) sign: u32,
}

/// The bits of a hash that a fork keeps.
pub(super) const fn sign(hash: BlockHash) -> u32 {
    hash.to_wire() as u32
}

impl Node {
    /// The block after the last one that is held or continued. The start if there is none.
    fn needed(&self) -> u32 {
        let forked = self.forks.last().map_or(self.start, |fork| fork.at);
        if forked == self.end { forked } else { forked.max(self.claims.end(self.end)) }
    }
}

#[derive(Clone, Default, Debug)]
pub(super) struct Tree {
    nodes: Slab<Node>,
    /// The nodes by their first blocks.
    pub(super) starts: Table,
    /// The nodes by every [`ANCHOR`]th block of a text, so that a run is found without the hashes of
    /// the first blocks of its text.
    pub(super) anchors: Table,
}

impl Tree {
    /// A node. Panics if there is none with this id.
    pub(super) fn get(&self, id: NodeId) -> &Node {
        self.nodes.get(id)
    }

    /// A node, to change its claims. Panics if there is none with this id.
    pub(super) fn get_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(id)
    }

    /// All nodes. Their order depends only on the calls so far.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node that begins a text like `chain`, which has a block.
    pub(super) fn root(&self, chain: &Chain) -> Option<NodeId> {
        self.starting(None, chain, 0)
    }

    /// The node that starts at a fork of `parent` and has the block of `chain` there.
    fn child_at(&self, parent: NodeId, fork: &Fork, chain: &Chain) -> Option<NodeId> {
        if fork.children > 1 {
            return self.starting(Some(parent), chain, fork.at);
        }
        let id = NodeId(fork.ids);
        let node = self.get(id);
        let same = node.chain.is_same(chain) || node.first == chain.hash(fork.at);
        same.then_some(id)
    }

    fn starting(&self, parent: Option<NodeId>, chain: &Chain, depth: u32) -> Option<NodeId> {
        let hash = chain.hash(depth);
        self.starts.find(hash, depth, |id| {
            let node = self.get(id);
            node.start == depth && node.first == hash && node.parent == parent
        })
    }

    /// The block until which a node agrees with `chain`, at most `limit`, and the node that goes on
    /// with it from there. They must agree before `from`.
    ///
    /// It asks first whether the chain leaves the node where others do: a child with the chain's hash
    /// proves that all before agrees.
    pub(super) fn step(
        &self,
        id: NodeId,
        chain: &Chain,
        from: u32,
        limit: u32,
    ) -> (u32, Option<NodeId>) {
        let node = self.get(id);
        let to = node.end.min(limit);
        let to_end = to == node.end;
        let whole = || {
            let fork = node.forks.last().filter(|fork| fork.at == to && to < limit);
            (to, fork.and_then(|fork| self.child_at(id, fork, chain)))
        };
        let last_is_equal = || to_end && node.last == chain.hash(to - 1);
        // Where many leave a node, this one probably leaves it too.
        let is_hub = node.forks.first().is_some_and(|fork| fork.children > 1);
        if from >= to || node.chain.is_same(chain) || !is_hub && last_is_equal() {
            return whole();
        }
        let first = node.forks.partition_point(|fork| fork.at < from);
        let inside = node.forks[first..].partition_point(|fork| fork.at < to);
        let forks = &node.forks[first..first + inside];
        let passes = |i: usize| forks[i].sign == sign(chain.hash(forks[i].at - 1));
        let passed = match forks.len() {
            // Mostly.
            few @ 0..=1 => (0..few).filter(|&i| passes(i)).count(),
            many => until(many, chain.is_described(), passes),
        };
        let fork = passed.checked_sub(1).map(|last| &forks[last]);
        if let Some(fork) = fork
            && let Some(child) = self.child_at(id, fork, chain)
        {
            return (fork.at, Some(child));
        }
        if is_hub && passed == forks.len() && last_is_equal() {
            return whole();
        }
        let mut least = from;
        if let Some(fork) = fork {
            // The bits were equal; the hashes may differ.
            if node.chain.hash(fork.at - 1) != chain.hash(fork.at - 1) {
                return (node.chain.agree_until(chain, from, fork.at - 1), None);
            }
            least = fork.at;
        }
        if node.chain.hash(least) != chain.hash(least) {
            return (least, None);
        }
        let most = match forks.get(passed) {
            Some(fork) => fork.at - 1,
            None => to - u32::from(to_end),
        };
        (node.chain.agree_until(chain, least + 1, most), None)
    }

    /// The node that has block `depth` of `chain`, or None. Only the hashes from the last anchor at or
    /// before `depth` on must be known.
    pub(super) fn locate(&self, chain: &Chain, depth: u32) -> Option<NodeId> {
        let anchor = depth - depth % ANCHOR;
        if anchor < chain.base() {
            return None;
        }
        let hash = chain.hash(anchor);
        let mut id = self.anchors.find(hash, anchor, |id| {
            let node = self.get(id);
            match node.start == anchor {
                true => node.first == hash,
                false => {
                    (node.start..node.end).contains(&anchor) && node.chain.hash(anchor) == hash
                }
            }
        })?;
        let mut known = anchor + 1;
        loop {
            let (agreed, further) = self.step(id, chain, known, depth + 1);
            if agreed > depth {
                return Some(id);
            }
            (id, known) = (further?, agreed + 1);
        }
    }

    /// Adds blocks `start..end` of a chain below `parent`, which has the block before them. No node
    /// may have them yet. They extend `parent` where it ends with that block and one chain can name
    /// both; else they are a node of their own. Returns the node that has them.
    pub(super) fn grow(
        &mut self,
        parent: Option<NodeId>,
        chain: &Chain,
        (start, end): (u32, u32),
    ) -> NodeId {
        if let Some(id) = parent
            && let Some(whole) = self.common_chain(id, chain, (start, end))
        {
            let node = self.get_mut(id);
            node.chain = whole;
            node.end = end;
            node.last = chain.hash(end - 1);
            self.register_anchors(id, start, end);
            return id;
        }
        let (first, last) = (chain.hash(start), chain.hash(end - 1));
        let (chain, claims, forks) = (chain.clone(), Claims::default(), SmallVec::new());
        let node = Node { first, last, start, end, chain, claims, parent, forks };
        let id = self.nodes.insert(node);
        self.starts.insert(first, start, id);
        self.register_anchors(id, start, end);
        if let Some(parent) = parent {
            self.fork(parent, start, id);
        }
        id
    }

    /// A chain with the hashes of a node and of blocks `start..end` of `chain` that follow it. None if
    /// that takes too much copying.
    fn common_chain(&self, id: NodeId, chain: &Chain, (start, end): (u32, u32)) -> Option<Chain> {
        let node = self.get(id);
        if node.end != start {
            return None;
        }
        if chain.base() <= node.start {
            return Some(chain.clone());
        }
        // Each event from a worker has its own chain, and an answer grows block by block. Short runs
        // are merged into one chain; otherwise each block of an answer would be a node. The limit
        // bounds the copying.
        let short = end - node.start <= ANCHOR;
        short.then(|| {
            let own = (node.start..start).map(|block| node.chain.hash(block));
            let hashes = own.chain((start..end).map(|block| chain.hash(block))).collect();
            Chain::from_wire(chain.block_size(), node.start, hashes)
        })
    }

    /// Removes the blocks at the end of a node that are neither held nor continued. If that is all of
    /// it, removes the node, and goes on with its parent.
    pub(super) fn trim(&mut self, id: NodeId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let node = self.get(id);
            let (start, old) = (node.start, node.end);
            let end = node.needed();
            if end == old {
                return;
            }
            self.unregister_anchors(id, end, old);
            if end > start {
                let node = self.get_mut(id);
                node.end = end;
                node.last = node.chain.hash(end - 1);
                return;
            }
            let node = self.nodes.remove(id);
            self.starts.remove(node.first, start, id);
            if let Some(parent) = node.parent {
                self.unfork(parent, start, id);
            }
            next = node.parent;
        }
    }

    fn fork(&mut self, parent: NodeId, at: u32, child: NodeId) {
        let node = self.get_mut(parent);
        let sign = sign(node.chain.hash(at - 1));
        let forks = &mut node.forks;
        match forks.binary_search_by_key(&at, |fork| fork.at) {
            Ok(i) => {
                forks[i].children += 1;
                forks[i].ids ^= child.0;
            }
            Err(i) => forks.insert(i, Fork { at, children: 1, ids: child.0, sign }),
        }
    }

    fn unfork(&mut self, parent: NodeId, at: u32, child: NodeId) {
        let forks = &mut self.get_mut(parent).forks;
        let i = forks.binary_search_by_key(&at, |fork| fork.at).expect("a fork for each child");
        forks[i].children -= 1;
        forks[i].ids ^= child.0;
        if forks[i].children == 0 {
            forks.remove(i);
            if forks.is_empty() {
                forks.shrink_to_fit();
            }
        }
    }

    fn register_anchors(&mut self, id: NodeId, start: u32, end: u32) {
        let mut block = start.next_multiple_of(ANCHOR);
        while block < end {
            let hash = self.get(id).chain.hash(block);
            self.anchors.insert(hash, block, id);
            block += ANCHOR;
        }
    }

    fn unregister_anchors(&mut self, id: NodeId, start: u32, end: u32) {
        let mut block = start.next_multiple_of(ANCHOR);
        while block < end {
            let hash = self.get(id).chain.hash(block);
            self.anchors.remove(hash, block, id);
            block += ANCHOR;
        }
    }
}
