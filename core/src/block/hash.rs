//! The hash of one block.

use std::fmt;

/// The hash of a block and its whole prefix, inside one scope. It has 128 bits under a secret key,
/// so a client that does not know the key cannot forge it, unlike an unkeyed 64-bit hash.
///
/// It is stored as two words: the alignment of a `u128` would make tables of hashes a third larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockHash {
    pub(super) high: u64,
    pub(super) low: u64,
}

impl BlockHash {
    /// A hash that another process computed. For wire conversion and replay only.
    pub const fn from_wire(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The 128 bits as they are sent and recorded.
    pub const fn to_wire(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }
}

impl std::hash::Hash for BlockHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u128(self.to_wire());
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.to_wire())
    }
}
