//! Moves blocks to HBM: loads from a tier behind it, and fetches from a pool or a peer.
//!
//! The loads of a tier share its link fairly. A fetch is timed by its sender, and the store only
//! waits for the answer.

use super::block_store::BlockStore;
use super::lease::Lease;
use super::run::{HBM, Run, tiers_of};
use super::transfer::{Fetch, Transfer};
use crate::block::BlockRun;
use crate::engine::profile::Fill;
use crate::engine::tiers::Offer;
use crate::id::TransferId;
use crate::runs::NodeId;
use crate::time::{Duration, Instant};
use smallvec::SmallVec;

impl BlockStore {
    /// Starts to load the part of the lease's path that is in `tier`.
    pub(super) fn start_load(&mut self, now: Instant, lease: &Lease, tier: usize) -> TransferId {
        let id = self.transfers.next_id();
        let (mut blocks, mut ready_at) = (0, now);
        let mut next = lease.deepest;
        while let Some(node_id) = next {
            let node = self.tree.get_mut(node_id);
            let len = node.len();
            let run = &mut node.value;
            run.pins += 1;
            if run.loading.is_none() && run.tiers.trailing_zeros() as usize == tier {
                run.loading = Some(id);
                blocks += len;
                ready_at = ready_at.max(run.ready_at);
            }
            next = node.parent;
        }
        self.make_room(now, blocks);
        self.reserved += u64::from(blocks);
        let source = &mut self.tiers[tier];
        source.link.start(now, id, f64::from(blocks) * source.load_ns_per_block);
        let latency = source.latency + ready_at.since(now);
        let transfer =
            Transfer { blocks, latency, tier: Some(tier), lease: self.duplicate_lease(lease) };
        self.transfers.all.insert(id, transfer);
        id
    }

    /// When the next load leaves its link or completes.
    pub fn next_ready(&self) -> Option<Instant> {
        let landing = self.transfers.landing.first().map(|&(ready, _)| ready);
        let links = self.tiers[1..].iter().filter_map(|tier| tier.link.next_end());
        links.chain(landing).min()
    }

    /// Completes the first load that is due by `now`.
    pub fn finish_load(&mut self, now: Instant) -> Option<TransferId> {
        loop {
            let landing = self.transfers.landing.first().map(|&(ready, _)| ready);
            let links = self.tiers[1..].iter_mut().enumerate();
            let ends = links.filter_map(|(i, tier)| tier.link.next_end().map(|end| (end, i + 1)));
            match ends.min() {
                Some((end, tier)) if end <= now && landing.is_none_or(|ready| end < ready) => {
                    let (end, id) =
                        self.tiers[tier].link.pop_ended(end).expect("a load that is due");
                    let ready = end + self.transfers.all[&id].latency;
                    self.transfers.landing.insert((ready, id));
                }
                _ => {
                    landing.filter(|&ready| ready <= now)?;
                    let (ready, id) = self.transfers.landing.pop_first()?;
                    self.complete(ready, id);
                    return Some(id);
                }
            }
        }
    }

    /// Requests the blocks of an offer after the end of the lease, and extends the lease by them.
    pub(super) fn start_fetch(
        &mut self,
        now: Instant,
        lease: &mut Lease,
        offer: &Offer,
    ) -> TransferId {
        let id = self.transfers.next_id();
        let from = lease.named;
        // Some of them may be in a tier behind HBM from which a load was not worth it.
        while let Some((node, agreed)) = self.tree.follow(&lease.chain, lease.named, offer.blocks) {
            let part = self.hold(node, agreed);
            let run = &mut self.tree.get_mut(part).value;
            (run.loading, run.origin) = (Some(id), offer.from.origin() as u8);
            (lease.deepest, lease.named) = (Some(part), agreed);
        }
        if lease.named < offer.blocks {
            let chain = lease.chain.clone();
            let run = BlockRun { chain, start: lease.named, end: offer.blocks };
            let origin = offer.from.origin() as u8;
            let value = Run { loading: Some(id), origin, ..Run::new() };
            lease.deepest = Some(self.tree.insert(lease.deepest, run, value));
            lease.named = offer.blocks;
        }
        let blocks = lease.named - from;
        self.make_room(now, blocks);
        self.reserved += u64::from(blocks);
        let mut next = lease.deepest;
        while let Some(part) = next {
            let node = self.tree.get_mut(part);
            node.value.pins += 1;
            next = node.parent;
        }
        let lease = self.duplicate_lease(lease);
        let run = BlockRun { chain: lease.chain.clone(), start: from, end: lease.named };
        let transfer = Transfer { tier: None, blocks, latency: Duration::ZERO, lease };
        self.transfers.all.insert(id, transfer);
        self.fetches.push(Fetch { id, from: offer.from, run });
        id
    }

    /// Whether a pool or a peer sends the blocks of this transfer.
    pub(super) fn is_fetch(&self, id: TransferId) -> bool {
        self.transfers.all.get(&id).is_some_and(|transfer| transfer.tier.is_none())
    }

    /// Whether a transfer is still under way.
    pub fn awaits(&self, id: TransferId) -> bool {
        self.transfers.all.contains_key(&id)
    }

    /// Ends a fetch whose blocks have arrived. Returns how many were not computed meanwhile.
    pub fn fetched(&mut self, now: Instant, id: TransferId) -> u32 {
        self.complete(now, id)
    }

    /// Ends a fetch that failed. Requests that wait for it must have released their leases.
    pub fn not_fetched(&mut self, id: TransferId) {
        let transfer = self.transfers.all.remove(&id).expect("a transfer under way");
        let parts = self.runs_of_transfer(id, &transfer.lease);
        for &part in &parts {
            let node = self.tree.get_mut(part);
            (node.value.loading, node.value.origin) = (None, 0);
            self.reserved -= u64::from(node.len());
        }
        self.release(transfer.lease);
        // From the last to the first, so that a run has no children when it is removed.
        for part in parts {
            let node = self.tree.get(part);
            if node.value.tiers == 0 {
                assert_eq!(node.value.pins, 0, "a lease holds blocks that did not arrive");
                let start = node.start;
                self.tree.truncate(part, start);
            }
        }
    }

    /// Ends a transfer whose blocks have arrived. Returns their number.
    fn complete(&mut self, now: Instant, id: TransferId) -> u32 {
        let transfer = self.transfers.all.remove(&id).expect("a transfer under way");
        let parts = self.runs_of_transfer(id, &transfer.lease);
        let blocks: u32 = parts.iter().map(|&part| self.tree.get(part).len()).sum();
        assert_eq!(blocks, transfer.blocks, "a transfer has the wrong number of blocks");
        self.reserved -= u64::from(blocks);
        if let Some(tier) = transfer.tier {
            self.tiers[tier].traffic.loaded_blocks += u64::from(blocks);
        }
        for &part in parts.iter().rev() {
            self.mark_in_hbm(now, part);
        }
        self.release(transfer.lease);
        blocks
    }

    /// The runs of a lease's path that a transfer moves, the last first.
    fn runs_of_transfer(&self, id: TransferId, lease: &Lease) -> SmallVec<[NodeId; 8]> {
        let mut parts = SmallVec::new();
        let mut next = lease.deepest;
        while let Some(part) = next {
            let node = self.tree.get(part);
            if node.value.loading == Some(id) {
                parts.push(part);
            }
            next = node.parent;
        }
        parts
    }

    /// A pinned run outside HBM was computed by another request, so it is in HBM now. If a transfer
    /// was moving it, that transfer has fewer blocks left; requests still wait for its end.
    pub(super) fn computed_meanwhile(&mut self, now: Instant, id: NodeId) {
        let node = self.tree.get(id);
        if let Some(loading) = node.value.loading {
            let count = node.len();
            let transfer =
                self.transfers.all.get_mut(&loading).expect("the transfer of a loading run");
            transfer.blocks -= count;
            self.reserved -= u64::from(count);
        }
        self.mark_in_hbm(now, id);
    }

    /// A pinned run is in HBM now. Spill tiers drop their copy, because a block is in HBM or in one
    /// of them.
    fn mark_in_hbm(&mut self, now: Instant, id: NodeId) {
        self.add_tier(id, HBM);
        let run = &mut self.tree.get_mut(id).value;
        (run.loading, run.origin) = (None, 0);
        for tier in tiers_of(run.tiers & !1) {
            if self.tiers[tier].fill == Fill::Spill {
                self.drop_tier(id, tier);
            }
        }
        self.write_through(now, id);
    }
}
