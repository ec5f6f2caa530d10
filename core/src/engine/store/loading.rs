//! loading

use super::block_store::BlockStore;
use super::lease::Lease;
use super::run::{HBM, Run, tiers_of};
use super::transfer::{Fetch, Offer, Transfer};
use crate::block::BlockRun;
use crate::engine::profile::Fill;
use crate::id::TransferId;
use crate::runs::NodeId;
use crate::time::{Duration, Instant};
use smallvec::SmallVec;
use std::sync::Arc;

impl BlockStore {
    /// Begins to load what lies in one tier of the path that `lease` holds.
    pub(super) fn start_load(&mut self, now: Instant, lease: &Lease, tier: usize) -> TransferId {
        let id = self.transfers.next_id();
        let (mut blocks, mut there_at) = (0, now);
        let mut next = lease.deepest;
        while let Some(node_id) = next {
            let node = self.tree.get_mut(node_id);
            let len = node.len();
            let run = &mut node.value;
            run.pins += 1;
            if run.loading.is_none() && run.tiers.trailing_zeros() as usize == tier {
                run.loading = Some(id);
                blocks += len;
                there_at = there_at.max(run.there_at);
            }
            next = node.parent;
        }
        self.make_room(now, blocks);
        self.reserved += u64::from(blocks);
        let source = &mut self.tiers[tier];
        source.link.start(now, id, f64::from(blocks) * source.load_ns_per_block);
        let latency = source.latency + there_at.since(now);
        let transfer = Transfer { blocks, latency, tier: Some(tier), lease: self.again(lease) };
        self.transfers.all.insert(id, transfer);
        id
    }

    /// When the next transfer leaves its link or is ready.
    pub fn next_ready(&self) -> Option<Instant> {
        let landing = self.transfers.landing.first().map(|&(ready, _)| ready);
        let links = self.tiers[1..].iter().filter_map(|tier| tier.link.next_end());
        links.chain(landing).min()
    }

    /// Ends the first transfer that is ready by `now`.
    pub fn finish_load(&mut self, now: Instant) -> Option<TransferId> {
        loop {
            let landing = self.transfers.landing.first().map(|&(ready, _)| ready);
            let links = self.tiers[1..].iter_mut().enumerate();
            let ends = links.filter_map(|(i, tier)| tier.link.next_end().map(|end| (end, i + 1)));
            match ends.min() {
                Some((end, tier)) if end <= now && landing.is_none_or(|ready| end < ready) => {
                    let (end, id) = self.tiers[tier].link.pop_ended(end).expect("it is due");
                    let ready = end + self.transfers.all[&id].latency;
                    self.transfers.landing.insert((ready, id));
                }
                _ => {
                    landing.filter(|&ready| ready <= now)?;
                    let (ready, id) = self.transfers.landing.pop_first()?;
                    self.land(ready, id);
                    return Some(id);
                }
            }
        }
    }

    /// Asks for the blocks of an offer that follow what the lease holds, which then holds them too.
    pub(super) fn start_fetch(
        &mut self,
        now: Instant,
        lease: &mut Lease,
        offer: &Offer,
    ) -> TransferId {
        let id = self.transfers.next_id();
        let from = lease.named;
        // Some of it may be here, behind HBM, where it was not worth loading.
        while let Some((node, agreed)) = self.tree.follow(&lease.chain, lease.named, offer.blocks) {
            let part = self.hold(node, agreed);
            let run = &mut self.tree.get_mut(part).value;
            (run.loading, run.origin) = (Some(id), offer.from.origin() as u8);
            (lease.deepest, lease.named) = (Some(part), agreed);
        }
        if lease.named < offer.blocks {
            let chain = Arc::clone(&lease.chain);
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
        let lease = self.again(lease);
        let run = BlockRun { chain: Arc::clone(&lease.chain), start: from, end: lease.named };
        let transfer = Transfer { tier: None, blocks, latency: Duration::ZERO, lease };
        self.transfers.all.insert(id, transfer);
        self.fetches.push(Fetch { id, from: offer.from, run });
        id
    }

    pub(super) fn comes_from_outside(&self, id: TransferId) -> bool {
        self.transfers.all.get(&id).is_some_and(|transfer| transfer.tier.is_none())
    }

    /// Whether a transfer is awaited still.
    pub fn awaits(&self, id: TransferId) -> bool {
        self.transfers.all.contains_key(&id)
    }

    /// The blocks of a fetch have come: how many that were not computed before them.
    pub fn fetched(&mut self, now: Instant, id: TransferId) -> u32 {
        self.land(now, id)
    }

    /// The blocks of a fetch will not come. Whoever waits for it must have given its lease back.
    pub fn not_fetched(&mut self, id: TransferId) {
        let transfer = self.transfers.all.remove(&id).expect("a transfer that was started");
        let parts = self.parts_of(id, &transfer.lease);
        for &part in &parts {
            let node = self.tree.get_mut(part);
            (node.value.loading, node.value.origin) = (None, 0);
            self.reserved -= u64::from(node.len());
        }
        self.release(transfer.lease);
        // The last first, so that a run is childless when its turn comes.
        for part in parts {
            let node = self.tree.get(part);
            if node.value.tiers == 0 {
                assert_eq!(node.value.pins, 0, "somebody holds blocks that never came");
                let start = node.start;
                self.tree.truncate(part, start);
            }
        }
    }

    /// A transfer has brought its blocks.
    fn land(&mut self, now: Instant, id: TransferId) -> u32 {
        let transfer = self.transfers.all.remove(&id).expect("a transfer that was started");
        let parts = self.parts_of(id, &transfer.lease);
        let blocks: u32 = parts.iter().map(|&part| self.tree.get(part).len()).sum();
        assert_eq!(blocks, transfer.blocks, "a transfer lost blocks on the way");
        self.reserved -= u64::from(blocks);
        if let Some(tier) = transfer.tier {
            self.tiers[tier].traffic.loaded_blocks += u64::from(blocks);
        }
        for &part in parts.iter().rev() {
            self.arrive(now, part);
        }
        self.release(transfer.lease);
        blocks
    }

    /// The runs of a path that a transfer brings, the last first.
    fn parts_of(&self, id: TransferId, lease: &Lease) -> SmallVec<[NodeId; 8]> {
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

    /// A held run of a tier behind was computed meanwhile, so it is in HBM now. If it was on its
    /// way, the transfer has so much less to bring; whoever waits for it still does.
    pub(super) fn overtake(&mut self, now: Instant, id: NodeId) {
        let node = self.tree.get(id);
        if let Some(loading) = node.value.loading {
            let count = node.len();
            let on_its_way = self.transfers.all.get_mut(&loading).expect("it loads the run");
            on_its_way.blocks -= count;
            self.reserved -= u64::from(count);
        }
        self.arrive(now, id);
    }

    /// A held run is in HBM now. Tiers that fill by spilling give it up: a block is in one of them,
    /// or in HBM.
    fn arrive(&mut self, now: Instant, id: NodeId) {
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
