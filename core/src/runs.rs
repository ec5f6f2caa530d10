//! A prefix tree of block runs, used by caches and indexes.
//!
//! A node is a run of blocks that share one value, such as their holders. It is split where the
//! value of a part changes, and it can be joined with its child when both have the same value. So a
//! long prompt is one or two nodes at any block size. The hash of a node's first block covers the
//! whole path above it, so one table finds every node, and nodes need no map of their children.
//!
//! With [`RunTree::with_ends`] the table also has the last block of each node, so that the parent of a
//! new run is found in one step.

mod check;
mod node;
mod slab;
mod tree;

pub use node::{Node, NodeId, Tally};
pub(crate) use slab::Slab;
pub use tree::RunTree;

/// The distance of the blocks on a path by which an index finds a run from the wire, in blocks. A
/// message has the hashes from such a block on.
pub const ANCHOR: u32 = 64;

/// The first block whose hash must be known to find the parent of a run that starts at `start`.
pub const fn anchor_above(start: u32) -> u32 {
    let above = start.saturating_sub(1);
    above - above % ANCHOR
}
