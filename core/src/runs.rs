//! A prefix tree of block runs, used by caches and indexes.
//!
//! A node is a run of blocks that share one value, such as their holders. It is split where the
//! value of a part changes, and it can be joined with its child when both have the same value. So a
//! long prompt is one or two nodes at any block size. The hash of a node's first block covers the
//! whole path above it, so one table finds every node, and nodes need no map of their children.
//!
//! The table can hold more blocks. With [`RunTree::with_ends`] it also has the last block of each
//! node, so that the parent of a new run is found in one step. With [`RunTree::with_anchors`] it also
//! has every [`ANCHOR`]th block of a path, so that a run is found without the hashes of its first
//! blocks, as in an event from a worker.

mod check;
mod node;
mod slab;
mod tree;

pub use node::{Node, NodeId, Tally};
pub(crate) use slab::Slab;
pub use tree::{ANCHOR, RunTree, anchor_above};
