//! Blocks that an engine holds while it sends them to peers.

use super::output::FetchKey;
use crate::engine::store::Lease;
use crate::link::FairLink;
use crate::time::Duration;
use std::collections::BTreeMap;

/// Fetches of peers that this engine serves.
#[derive(Debug, Default)]
pub(super) struct PeerSends {
    /// The link out of this engine, which all of them share.
    pub link: FairLink<FetchKey>,
    /// The blocks under way, which can't be evicted.
    pub leases: BTreeMap<FetchKey, Lease>,
    pub sent_blocks: u64,
}

/// Blocks that an engine has sent to peers since it started.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PeerSendStats {
    /// Blocks.
    pub blocks: u64,
    /// Time with at least one fetch under way.
    pub sending: Duration,
}
