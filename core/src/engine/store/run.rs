//! A run: consecutive blocks of one prompt that are in the same state.

use super::eviction::Idle;
use crate::id::{MAX_TIERS, TransferId};
use crate::request::Owner;
use crate::runs::{Node, NodeId};
use crate::time::Instant;

/// The index of HBM among the tiers.
pub(super) const HBM: usize = 0;

#[derive(Clone, Debug)]
pub(super) struct Run {
    /// A bit for each tier that has a copy. A run is never in a nearer tier than its parent.
    pub tiers: u8,
    /// Leases whose path contains this run. A pinned run is in no eviction order.
    pub pins: u32,
    /// The transfer that moves it to HBM, if any.
    pub loading: Option<TransferId>,
    /// Its origin if it comes from a pool or peer; 0 otherwise.
    pub origin: u8,
    /// When a lease last released it. The clock is the number of releases of the store so far.
    pub used: u64,
    /// Whether a second request has held it.
    pub reused: bool,
    /// When the newest copy to a tier behind HBM is complete.
    pub ready_at: Instant,
    /// The owner, if [`BlockStore::records_owners`](super::BlockStore::records_owners).
    pub owner: Option<Owner>,
    /// The number of child runs in each tier.
    pub below: [u32; MAX_TIERS],
}

impl Run {
    /// New blocks, pinned by the one lease that computes or fetches them.
    pub const fn new() -> Self {
        Self {
            tiers: 0,
            pins: 1,
            loading: None,
            origin: 0,
            used: 0,
            reused: false,
            ready_at: Instant::START,
            owner: None,
            below: [0; MAX_TIERS],
        }
    }

    /// The origin that a hit counts it under: a pool or peer, else the nearest tier.
    pub const fn found_in(&self) -> usize {
        if self.origin > 0 { self.origin as usize } else { self.tiers.trailing_zeros() as usize }
    }

    pub const fn in_hbm(&self) -> bool {
        self.tiers & 1 != 0
    }

    /// Whether this run and its child `next` can be merged. Without a lease they leave together,
    /// and a load of the child loads this run too, which is ready no earlier.
    pub fn is_like(&self, next: &Self) -> bool {
        let idle = (self.pins, next.pins) == (0, 0);
        let alike = (self.tiers, self.used, self.reused) == (next.tiers, next.used, next.reused);
        idle && alike && self.owner == next.owner && self.ready_at >= next.ready_at
    }
}

/// The tiers in a bit mask, nearest first.
pub(super) fn tiers_of(mask: u8) -> impl Iterator<Item = usize> {
    let mut left = mask;
    core::iter::from_fn(move || {
        let next = (left != 0).then(|| left.trailing_zeros() as usize);
        left &= left.wrapping_sub(1);
        next
    })
}

/// A run as an eviction rule sees it.
pub(super) fn idle(id: NodeId, node: &Node<Run>) -> Idle {
    let run = &node.value;
    Idle { id, used: run.used, end: node.end, blocks: node.len(), reused: run.reused }
}
