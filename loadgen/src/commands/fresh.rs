//! What differs from run to run.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// A number that differs from run to run and is short enough to type.
pub fn fresh_nonce() -> u32 {
    // The standard library seeds its hashers with randomness from the system.
    RandomState::new().hash_one("nonce") as u32
}
