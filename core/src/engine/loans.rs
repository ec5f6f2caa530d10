//! Blocks that an engine holds while it sends them to peers.

use super::output::LoanKey;
use crate::engine::store::Lease;
use crate::link::FairLink;
use crate::time::Duration;
use std::collections::BTreeMap;

/// Fetches of peers that this engine serves.
#[derive(Debug, Default)]
pub(super) struct Loans {
    /// The link out of this engine, which all of them share.
    pub link: FairLink<LoanKey>,
    /// The blocks under way, which can't be evicted.
    pub leases: BTreeMap<LoanKey, Lease>,
    pub lent_blocks: u64,
}

/// Blocks that an engine has sent to peers since it started.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LoanStats {
    /// Blocks.
    pub blocks: u64,
    /// Time with at least one fetch under way.
    pub sending: Duration,
}
