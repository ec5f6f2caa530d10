//! What no routing rule can beat, for given requests.
//!
//! - [`hits`]: cached prompt tokens with an infinite cache, and with one cache of the whole fleet's memory.
//! - [`work`]: prompt tokens that some worker must compute.
//! - [`waiting`]: the mean time to the first token on one server that is as fast as the whole fleet.
//! - [`prefixes`]: the requests as paths in a tree, so that a bound costs as much as the places where
//!   prompts part, and not as much as blocks.
//!
//! `docs/bounds.md` has the proofs.

pub mod hits;
pub mod prefixes;
pub mod waiting;
pub mod work;
