//! loans

use super::output::LoanKey;
use crate::engine::store::Lease;
use crate::link::FairLink;
use crate::time::Duration;
use std::collections::BTreeMap;

/// Blocks that are held for others while they are sent.
#[derive(Debug, Default)]
pub(super) struct Loans {
    /// Out of this engine, shared by all that fetch from it.
    pub link: FairLink<LoanKey>,
    pub leases: BTreeMap<LoanKey, Lease>,
    pub lent_blocks: u64,
}

/// What an engine lent to its peers since it began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LoanStats {
    pub blocks: u64,
    /// Time in which anything was on its way out.
    pub sending: Duration,
}
