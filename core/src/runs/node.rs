//! The nodes of a run tree.

use crate::block::{BlockHash, BlockRun, Chain};

/// The number of a node in its tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// An index for tables beside the tree. Ids count from 0, and the ids of removed nodes are used
    /// again.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A run of blocks and its value.
#[derive(Clone, Debug)]
pub struct Node<V> {
    /// The hashes of the path.
    pub chain: Chain,
    /// The first block, counted from the start of the chain.
    pub start: u32,
    /// The block after the last one.
    pub end: u32,
    /// The node that ends where this one starts. None at the start of a text.
    pub parent: Option<NodeId>,
    /// The number of children.
    pub children: u32,
    /// The XOR of the children's ids: with one child, the id of that child.
    pub(super) child_ids: u32,
    /// The hash of the first block, by which the node is registered.
    pub(super) first: BlockHash,
    /// The hash of the last block, which a look-up compares first.
    pub(super) last: BlockHash,
    /// The value of all blocks of the run.
    pub value: V,
}

impl<V> Node<V> {
    /// Blocks in the run, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub const fn len(&self) -> u32 {
        self.end - self.start
    }

    /// Blocks `start..end` of the node's chain.
    pub fn run(&self, start: u32, end: u32) -> BlockRun {
        BlockRun { chain: self.chain.clone(), start, end }
    }
}

/// A checksum of a set of blocks that does not depend on how they are cut into runs. Each run adds
/// the hash of its last block and subtracts the hash of the block before its first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// The number of blocks.
    pub blocks: u64,
    pub(super) hashes: u64,
}

impl Tally {
    /// The checksum of blocks in a tree of another kind.
    pub(crate) const fn of(blocks: u64, hashes: u64) -> Self {
        Self { blocks, hashes }
    }
}

impl core::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.blocks += more.blocks;
        self.hashes = self.hashes.wrapping_add(more.hashes);
    }
}
