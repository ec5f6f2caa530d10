//! The index: which source (worker or pool) holds which prefix, in which tier. It is exact: if a
//! block in the middle of a prefix is removed and stored again, the whole prefix counts again.
//!
//! Each node of the run tree lists its holders. All of them hold all of its blocks; the node is
//! split where that stops being true.

mod check;
mod claims;
mod compare;
mod digests;
mod overlap;
mod state;

pub use compare::Mismatch;
pub use overlap::{InOrder, Overlap, SourceOverlap};
pub use state::{PrefixIndex, SequenceGap};
