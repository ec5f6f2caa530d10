//! A request's lease on blocks, and the result of asking for one.

use crate::block::Chain;
use crate::id::{ORIGINS, TransferId};
use crate::request::Owner;
use crate::runs::NodeId;
use smallvec::SmallVec;

/// One request's hold on blocks. Return it with [`BlockStore::release`].
///
/// [`BlockStore::release`]: super::BlockStore::release
#[must_use]
#[derive(Debug)]
pub struct Lease {
    pub(super) chain: Chain,
    /// The last run of its path.
    pub(super) deepest: Option<NodeId>,
    /// Named blocks, counted from the start of the chain.
    pub(super) named: u32,
    /// Blocks after the named ones, without a name and private.
    pub(super) reserved: u32,
    /// The owner of the blocks that the request computes.
    pub(super) owner: Option<Owner>,
}

impl Lease {
    pub(super) fn new(chain: &Chain) -> Self {
        let chain = chain.clone();
        Self { chain, deepest: None, named: 0, reserved: 0, owner: None }
    }

    /// All blocks of the lease, named and reserved.
    pub const fn blocks(&self) -> u32 {
        self.named + self.reserved
    }

    /// Blocks with a name, which other requests can share.
    pub const fn named(&self) -> u32 {
        self.named
    }
}

/// Cached blocks of a prompt by origin ([`SourceId::origin`](crate::id::SourceId::origin)).
pub type Hit = [u32; ORIGINS];

/// The result of [`BlockStore::acquire`](super::BlockStore::acquire).
#[derive(Debug)]
pub enum Acquired {
    /// All cached blocks are in HBM.
    Ready {
        /// Holds the cached blocks and room for the rest.
        lease: Lease,
        /// Cached blocks by origin.
        hit: Hit,
    },
    /// Part of the hit is still moving to HBM.
    Waiting {
        /// Holds the cached blocks and room for the rest.
        lease: Lease,
        /// Cached blocks by origin, those under way included.
        hit: Hit,
        /// Transfers that must end before the request can run.
        transfers: SmallVec<[TransferId; 2]>,
    },
    /// Too few blocks can be freed now. The store is unchanged.
    NoRoom,
}

/// Too few blocks can be freed, because leases hold the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;
