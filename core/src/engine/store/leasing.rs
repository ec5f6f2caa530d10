//! The life of a lease: acquire, grow, commit, release.

use super::block_store::BlockStore;
use super::find::{Found, Plan};
use super::lease::{Acquired, Lease, NoRoom};
use super::run::{HBM, Run, tiers_of};
use crate::block::{BlockRun, Chain, TokenBlocks};
use crate::engine::profile::Fill;
use crate::engine::tiers::Offer;
use crate::event::PrefillCost;
use crate::id::{ORIGINS, TransferId};
use crate::request::Owner;
use crate::runs::NodeId;
use crate::time::Instant;
use smallvec::SmallVec;

impl BlockStore {
    /// Leases the cached part of the first `limit` blocks of `sequence` and reserves HBM up to
    /// `total` blocks. Loads from tiers behind HBM, and fetches from `offers`, what is faster to
    /// move than to compute at `cost`. `limit` and `total` count blocks from the start.
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

    /// Leases what was found up to the plan's end, and starts its load and its fetch.
    pub(super) fn hold_planned(
        &mut self,
        now: Instant,
        chain: &Chain,
        found: &Found,
        plan: &Plan,
        total: u32,
    ) -> Acquired {
        // New blocks and blocks to load need a place in HBM. Blocks that become held here can't be
        // evicted to make it.
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

    /// Sets the owner of the blocks that a lease computes, and of those it fetches.
    pub fn set_owner(&mut self, lease: &mut Lease, owner: Owner) {
        lease.owner = Some(owner);
        if !self.records_owners() {
            return;
        }
        let mut next = lease.deepest;
        while let Some(id) = next {
            let node = self.tree.get_mut(id);
            if node.value.loading.is_some() && node.value.owner.is_none() {
                node.value.owner = Some(owner);
            }
            next = node.parent;
        }
    }

    /// Reserves HBM until the lease has `total` blocks. An error changes nothing.
    pub fn grow(&mut self, now: Instant, lease: &mut Lease, total: u32) -> Result<(), NoRoom> {
        let more = total.saturating_sub(lease.blocks());
        if u64::from(more) > self.available() {
            return Err(NoRoom);
        }
        self.make_room(now, more);
        self.reserved += u64::from(more);
        lease.reserved += more;
        Ok(())
    }

    /// Names the first `blocks` blocks of the lease, which are computed now. Other requests can
    /// share them from here on. The lease must have reserved them.
    pub fn commit(&mut self, now: Instant, lease: &mut Lease, blocks: u32) {
        while lease.named < blocks {
            let from = lease.named;
            let chain = lease.chain.clone();
            let (node, agreed) = match self.tree.follow_below(lease.deepest, &chain, from, blocks) {
                // Another request computed the same blocks meanwhile: share those, free ours.
                Some((id, agreed)) => {
                    let part = self.hold(id, agreed);
                    if !self.tree.get(part).value.in_hbm() {
                        self.computed_meanwhile(now, part);
                    }
                    (part, agreed)
                }
                None => (self.append(now, lease, from, blocks), blocks),
            };
            let count = agreed - from;
            assert!(lease.reserved >= count, "a filled block was not reserved");
            lease.reserved -= count;
            self.reserved -= u64::from(count);
            (lease.deepest, lease.named) = (Some(node), agreed);
        }
    }

    /// Adds new blocks in HBM at the end of the lease's path.
    fn append(&mut self, now: Instant, lease: &Lease, from: u32, to: u32) -> NodeId {
        if let Some(id) = lease.deepest
            && self.lengthens(now, id, lease, to - from)
        {
            self.tree.extend(id, to);
            self.put_through(id, from, lease.owner);
            for tier in tiers_of(self.tree.get(id).value.tiers) {
                self.record_stored(id, from, tier);
                if tier != HBM {
                    self.write(now, id, to - from, tier);
                }
            }
            return id;
        }
        let run = BlockRun { chain: lease.chain.clone(), start: from, end: to };
        let owner = lease.owner.filter(|_| self.records_owners());
        let id = self.tree.insert(lease.deepest, run, Run { owner, ..Run::new() });
        self.put_through(id, from, lease.owner);
        self.add_tier(id, HBM);
        self.write_through(now, id);
        id
    }

    /// Whether new blocks can extend the last run of the lease instead of starting a new one: both
    /// would be in the same state.
    fn lengthens(&self, now: Instant, id: NodeId, lease: &Lease, blocks: u32) -> bool {
        let node = self.tree.get(id);
        let run = &node.value;
        let ours = run.pins == 1 && run.in_hbm() && node.children == 0;
        let copies = run.tiers & !1;
        let same_owner = run.owner == lease.owner || !self.records_owners();
        ours && same_owner
            && node.chain.is_same(&lease.chain)
            && tiers_of(copies).all(|tier| self.tiers[tier].takes_copy(now, blocks))
    }

    /// Sends new blocks to a pool that is written through.
    fn put_through(&mut self, id: NodeId, from: u32, owner: Option<Owner>) {
        if self.pool == Some(Fill::WriteThrough) {
            let node = self.tree.get(id);
            self.puts.push((node.run(from, node.end), owner));
        }
    }

    /// Ends a lease. Its named blocks stay cached until their room is needed.
    pub fn release(&mut self, lease: Lease) {
        self.leases -= 1;
        self.releases += 1;
        self.reserved -= u64::from(lease.reserved);
        let mut next = lease.deepest;
        while let Some(id) = next {
            next = self.tree.get(id).parent;
            self.let_go(id);
        }
    }

    /// A second lease on the same path. The caller has pinned the runs.
    pub(super) fn duplicate_lease(&mut self, lease: &Lease) -> Lease {
        self.leases += 1;
        Lease { deepest: lease.deepest, named: lease.named, ..Lease::new(&lease.chain) }
    }

    /// Leases blocks that a peer or a pool's client fetches; None if one of them was evicted.
    pub fn lease_run(&mut self, run: &BlockRun) -> Option<Lease> {
        let path = self.path(&run.chain, run.end, run.end);
        if self.present_of(&path) < run.end {
            return None;
        }
        self.leases += 1;
        let mut lease = Lease::new(&run.chain);
        for (id, agreed) in path {
            (lease.deepest, lease.named) = (Some(self.hold(id, agreed)), agreed);
        }
        Some(lease)
    }
}
