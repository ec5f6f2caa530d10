//! transfer

use super::lease::Lease;
use crate::block::BlockRun;
use crate::id::{SourceId, TransferId};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// What another could send of a prompt.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Offer {
    pub from: SourceId,
    /// How much it has, in blocks from the start of the prompt.
    pub blocks: u32,
    /// How fast a block would come now.
    pub ns_per_block: f64,
    pub latency_ns: f64,
    /// Fetched even where computing would be faster.
    pub always: bool,
}

impl Offer {
    /// Nanoseconds until so many of its blocks would be here.
    pub fn estimate(&self, blocks: u32) -> f64 {
        self.latency_ns + f64::from(blocks) * self.ns_per_block
    }
}

/// A transfer that somebody else must make: answered with [`BlockStore::fetched`] or
/// [`BlockStore::not_fetched`].
#[derive(Clone, PartialEq, Debug)]
pub struct Fetch {
    pub id: TransferId,
    pub from: SourceId,
    pub run: BlockRun,
}

#[derive(Debug)]
pub(super) struct Transfer {
    /// None: from outside.
    pub tier: Option<usize>,
    /// Blocks that are still to come.
    pub blocks: u32,
    /// What it takes beside its time on the link.
    pub latency: Duration,
    /// Keeps the path in place even if every request that waits for it goes away.
    pub lease: Lease,
}

/// All transfers under way.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    pub all: BTreeMap<TransferId, Transfer>,
    /// Off the link, and ready after the latency.
    pub landing: BTreeSet<(Instant, TransferId)>,
    pub started: u64,
}

impl Transfers {
    pub fn next_id(&mut self) -> TransferId {
        self.started += 1;
        TransferId(self.started - 1)
    }
}
