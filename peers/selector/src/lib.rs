//! The rule `dynamo` beside the published code that it is written after.
//!
//! A random fleet lives for some decisions. Both sides are told the same: token ids of prompts, blocks
//! that workers store and drop, first tokens, ends. Each side hashes, indexes, books and decides with
//! its own code. At temperature 0 both must choose the same worker, or ours must be one among which
//! theirs draws.

pub mod compare;
pub mod fleet;
mod ours;
mod theirs;
