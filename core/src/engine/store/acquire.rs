//! A request takes hold of what is there of its prompt, and of room for the rest.

use super::find::Found;
use super::load::Plan;
use super::{Acquired, BlockStore, Lease, Offer};
use crate::block::{Chain, TokenBlocks};
use crate::event::PrefillCost;
use crate::id::{ORIGINS, TransferId};
use crate::time::Instant;
use smallvec::SmallVec;
use std::sync::Arc;

impl BlockStore {
    /// Holds what is there of the first `limit` blocks of `sequence`, fetches what others `offer`
    /// where that is faster than to compute it, and reserves HBM for `total` blocks in all.
    pub fn acquire(
        &mut self,
        now: Instant,
        sequence: &TokenBlocks,
        limit: u32,
        total: u32,
        cost: &PrefillCost,
        offers: &[Offer],
    ) -> Acquired {
        let chain = sequence.chain();
        let found = self.find(chain, 0, limit);
        let plan = self.plan(now, &found, limit, (chain.block_size(), cost), offers);
        self.hold_planned(now, chain, &found, &plan, total)
    }

    /// Holds what was found as far as it is to be used, and begins to bring what is elsewhere.
    pub(super) fn hold_planned(
        &mut self,
        now: Instant,
        chain: &Arc<Chain>,
        found: &Found,
        plan: &Plan,
        total: u32,
    ) -> Acquired {
        // Blocks that need a place in HBM: new ones and those to load. Blocks that are evictable
        // now but about to be held can't make that room.
        let need = u64::from(total.saturating_sub(found.coming));
        if need + found.idle_hbm > self.available() {
            return Acquired::NoRoom;
        }
        let mut lease = Lease::new(chain);
        self.leases += 1;
        let mut transfers: SmallVec<[TransferId; 2]> = SmallVec::new();
        let mut hit = [0; ORIGINS];
        let mut depth = 0;
        for &(id, end) in &found.path {
            if depth == plan.end {
                break;
            }
            let agreed = end.min(plan.end);
            let part = self.hold(id, agreed);
            let run = &self.tree.get(part).value;
            if let Some(loading) = run.loading.filter(|loading| !transfers.contains(loading)) {
                transfers.push(loading);
            }
            hit[run.found_in()] += agreed - depth;
            (lease.deepest, lease.named, depth) = (Some(part), agreed, agreed);
        }
        for segment in found.behind.iter().filter(|segment| segment.end <= plan.end) {
            transfers.push(self.start_load(now, &lease, segment.tier));
        }
        if let Some(offer) = &plan.offer {
            hit[offer.from.origin()] += offer.blocks - lease.named;
            transfers.push(self.start_fetch(now, &mut lease, offer));
        }
        let own = total.saturating_sub(lease.named);
        self.make_room(now, own);
        self.reserved += u64::from(own);
        lease.reserved = own;
        if transfers.is_empty() {
            Acquired::Ready { lease, hit }
        } else {
            Acquired::Waiting { lease, hit, transfers }
        }
    }
}
