//! A lease

use crate::block::Chain;
use crate::id::{ORIGINS, TransferId};
use crate::request::Owner;
use crate::runs::NodeId;
use smallvec::SmallVec;
use std::sync::Arc;

/// One request's hold on the store. Must be given back with [`BlockStore::release`].
#[must_use]
#[derive(Debug)]
pub struct Lease {
    pub(super) chain: Arc<Chain>,
    pub(super) deepest: Option<NodeId>,
    /// Named blocks it holds, from the start of the chain.
    pub(super) named: u32,
    /// Blocks of its own behind them.
    pub(super) reserved: u32,
    /// Whose blocks it computes.
    pub(super) owner: Option<Owner>,
}

impl Lease {
    pub(super) fn new(chain: &Arc<Chain>) -> Self {
        let chain = Arc::clone(chain);
        Self { chain, deepest: None, named: 0, reserved: 0, owner: None }
    }

    pub const fn blocks(&self) -> u32 {
        self.named + self.reserved
    }

    /// Blocks it holds whose names others know.
    pub const fn named(&self) -> u32 {
        self.named
    }
}

/// What a request found, in blocks by where they came from.
pub type Hit = [u32; ORIGINS];

#[derive(Debug)]
pub enum Acquired {
    Ready {
        lease: Lease,
        hit: Hit,
    },
    /// Part of the hit is on its way into HBM, by these transfers.
    Waiting {
        lease: Lease,
        hit: Hit,
        transfers: SmallVec<[TransferId; 2]>,
    },
    /// Not enough blocks can be freed now. Nothing has changed.
    NoRoom,
}

/// No block can be freed: everything is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;
