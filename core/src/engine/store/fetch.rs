//! Blocks that come from others: from a pool, or from a peer's memory. Who sends them times the
//! transfer; the store only knows what it waits for.

use super::find::Path;
use super::load::Transfer;
use super::{BlockStore, Lease, Run};
use crate::block::BlockRun;
use crate::id::{SourceId, TransferId};
use crate::runs::NodeId;
use crate::time::{Duration, Instant};
use std::sync::Arc;

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

impl BlockStore {
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

    /// Transfers that others must make, since the last call.
    pub fn take_fetches(&mut self) -> Vec<Fetch> {
        core::mem::take(&mut self.fetches)
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

    /// How far the path of a run is here, in blocks from the start of its chain.
    pub fn present(&self, run: &BlockRun) -> u32 {
        if self.transfers.all.is_empty() {
            return self.reach(&run.chain, run.start, run.end);
        }
        self.present_of(&self.path(&run.chain, run.start, run.end))
    }

    fn present_of(&self, path: &Path) -> u32 {
        let is_here = |&&(id, _): &&(NodeId, u32)| self.tree.get(id).value.tiers != 0;
        path.iter().take_while(is_here).last().map_or(0, |&(_, end)| end)
    }

    /// Holds blocks that another fetches from here; None if one of them is not here any more.
    pub fn lend(&mut self, run: &BlockRun) -> Option<Lease> {
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
