//! Transfers to HBM: from a tier of the worker, from a pool, or from a peer.

use super::lease::Lease;
use crate::block::BlockRun;
use crate::id::{SourceId, TransferId};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// A request for blocks of a pool or a peer. Answer it with [`BlockStore::fetched`] or
/// [`BlockStore::not_fetched`].
///
/// [`BlockStore::fetched`]: super::BlockStore::fetched
/// [`BlockStore::not_fetched`]: super::BlockStore::not_fetched
#[derive(Clone, PartialEq, Debug)]
pub struct Fetch {
    /// The transfer that the answer names.
    pub id: TransferId,
    /// The pool or the peer that must send the blocks.
    pub from: SourceId,
    /// The blocks.
    pub run: BlockRun,
}

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The tier it reads; None if a pool or a peer sends it.
    pub tier: Option<usize>,
    /// Blocks that have not arrived.
    pub blocks: u32,
    /// Latency on top of its time on the link.
    pub latency: Duration,
    /// Pins the path, even if every request that waits for it is cancelled.
    pub lease: Lease,
}

/// All transfers under way.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    pub all: BTreeMap<TransferId, Transfer>,
    /// Transfers that have left the link, by the time at which they are complete.
    pub landing: BTreeSet<(Instant, TransferId)>,
    pub started: u64,
}

impl Transfers {
    pub fn next_id(&mut self) -> TransferId {
        self.started += 1;
        TransferId(self.started - 1)
    }
}
