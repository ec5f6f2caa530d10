//! A run

use super::eviction::Idle;
use crate::id::{MAX_TIERS, TransferId};
use crate::request::Owner;
use crate::runs::{Node, NodeId};
use crate::time::Instant;

/// The place of HBM among the tiers.
pub(super) const HBM: usize = 0;

#[derive(Clone, Debug)]
pub(super) struct Run {
    /// A bit for each tier that has a copy. What follows it is never nearer than it is.
    pub tiers: u8,
    /// Leases whose path goes through here. Such a run is in no eviction order.
    pub pins: u32,
    /// On its way to HBM.
    pub loading: Option<TransferId>,
    /// Whence, if it comes from outside; 0 otherwise.
    pub origin: u8,
    /// When it was last let go of, counted in releases.
    pub used: u64,
    /// A second request has held it.
    pub reused: bool,
    /// When the last copy that was begun is there.
    pub there_at: Instant,
    /// Whose it is, where the store marks that.
    pub owner: Option<Owner>,
    /// How many runs go on from here, in each tier.
    pub below: [u32; MAX_TIERS],
}

impl Run {
    /// Blocks that are in HBM or on the way there, whose names are held by nobody else yet.
    pub const fn new() -> Self {
        Self {
            tiers: 0,
            pins: 1,
            loading: None,
            origin: 0,
            used: 0,
            reused: false,
            there_at: Instant::START,
            owner: None,
            below: [0; MAX_TIERS],
        }
    }

    /// Where it is found: where it comes from, or the nearest tier.
    pub const fn found_in(&self) -> usize {
        if self.origin > 0 { self.origin as usize } else { self.tiers.trailing_zeros() as usize }
    }

    pub const fn in_hbm(&self) -> bool {
        self.tiers & 1 != 0
    }

    /// Whether nobody tells it from the run that follows it. Nobody holds them, they leave together,
    /// and who loads the one that follows loads this one too, which comes no sooner.
    pub fn is_like(&self, next: &Self) -> bool {
        let idle = (self.pins, next.pins) == (0, 0);
        let alike = (self.tiers, self.used, self.reused) == (next.tiers, next.used, next.reused);
        idle && alike && self.owner == next.owner && self.there_at >= next.there_at
    }
}

pub(super) fn tiers_of(mask: u8) -> impl Iterator<Item = usize> {
    let mut left = mask;
    core::iter::from_fn(move || {
        let next = (left != 0).then(|| left.trailing_zeros() as usize);
        left &= left.wrapping_sub(1);
        next
    })
}

/// What an eviction order is told of a run.
pub(super) fn idle(id: NodeId, node: &Node<Run>) -> Idle {
    let run = &node.value;
    Idle { id, used: run.used, end: node.end, blocks: node.len(), reused: run.reused }
}
