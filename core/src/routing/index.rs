//! The index: which source (worker or pool) holds which prefix, in which tier. It is exact: if a
//! block in the middle of a prefix is removed and stored again, the whole prefix counts again.
//!
//! A node of the tree is a run of blocks of one text. Texts may leave it at any block, and each source
//! may hold any part of it. So a look-up visits one node for each text that the prompt has followed,
//! however many sources hold a part.

mod check;
mod claim;
mod claims;
mod compare;
mod digests;
mod look_up;
mod overlap;
mod state;
mod table;
mod tree;

pub use compare::Mismatch;
pub use overlap::{InOrder, Overlap, SourceOverlap};
pub use state::{PrefixIndex, SequenceGap};
