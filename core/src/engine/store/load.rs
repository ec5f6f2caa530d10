//! Blocks on their way from the host tier back into HBM: one link, one transfer at a time, in
//! order.

use super::{BlockStore, Found, Lease};
use crate::engine::profile::{Loads, Profile};
use crate::event::{KvEvent, PrefillCost};
use crate::id::{TierId, TransferId};
use crate::runs::NodeId;
use crate::time::{Duration, Instant};
use smallvec::SmallVec;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Transfer {
    id: TransferId,
    ready: Instant,
    /// Blocks that are still to come.
    blocks: u32,
    /// Keeps the path in place even if every request that waits for it goes away.
    lease: Lease,
}

/// The way from the host tier to HBM. One transfer at a time, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    latency_ns: f64,
    load_ns_per_block: f64,
    free_at: Instant,
    loads: Loads,
}

impl Link {
    pub fn new(profile: &Profile) -> Self {
        Self {
            latency_ns: profile.host.map_or(0.0, |host| host.latency_us * 1e3),
            load_ns_per_block: profile.host.map_or(0.0, |host| host.load_ns_per_block(profile)),
            free_at: Instant::START,
            loads: profile.host.map_or(Loads::Always, |host| host.loads),
        }
    }

    /// When a transfer of so many blocks would be ready, and when the link would be free again.
    fn book(&self, now: Instant, blocks: u32) -> (Instant, Instant) {
        let moving = Duration::from_nanos_f64(f64::from(blocks) * self.load_ns_per_block);
        let free_at = self.free_at.max(now) + moving;
        (free_at + Duration::from_nanos_f64(self.latency_ns), free_at)
    }
}

impl BlockStore {
    /// When the next transfer ends.
    pub fn next_ready(&self) -> Option<Instant> {
        self.transfers.front().map(|transfer| transfer.ready)
    }

    /// Ends the first transfer if it is due.
    pub fn finish_load(&mut self, now: Instant) -> Option<TransferId> {
        let due = self.transfers.front().is_some_and(|transfer| transfer.ready <= now);
        let transfer = self.transfers.pop_front_if(|_| due)?;
        let mut parts: SmallVec<[NodeId; 8]> = SmallVec::new();
        let mut next = transfer.lease.deepest;
        while let Some(id) = next {
            let node = self.tree.get(id);
            if node.value.loading == Some(transfer.id) {
                parts.push(id);
            }
            next = node.parent;
        }
        for &id in parts.iter().rev() {
            self.reserved -= u64::from(self.tree.get(id).len());
            self.land(id);
        }
        let blocks: u32 = parts.iter().map(|&id| self.tree.get(id).len()).sum();
        assert_eq!(blocks, transfer.blocks, "a transfer lost blocks on the way");
        self.release(transfer.lease);
        Some(transfer.id)
    }

    /// A held run of the host tier was computed meanwhile, so it is in HBM now. If it was on its
    /// way, the transfer has so much less to bring; whoever waits for it still does.
    pub(super) fn overtake(&mut self, id: NodeId) {
        let node = self.tree.get(id);
        if let Some(loading) = node.value.loading {
            let count = node.len();
            let on_its_way = self.transfers.iter_mut().find(|transfer| transfer.id == loading);
            on_its_way.expect("a run loads with a transfer").blocks -= count;
            self.reserved -= u64::from(count);
        }
        self.land(id);
    }

    /// A held run is in HBM now instead of in the host tier.
    fn land(&mut self, id: NodeId) {
        let node = self.tree.get_mut(id);
        let count = u64::from(node.len());
        (node.value.loading, node.value.tier) = (None, TierId::HBM);
        self.hbm.resident += count;
        self.host.as_mut().expect("a host tier").resident -= count;
        self.moved(id, TierId::HOST, TierId::HBM);
    }

    pub(super) fn worth_loading(
        &self,
        now: Instant,
        found: &Found,
        block_size: u32,
        cost: &PrefillCost,
    ) -> bool {
        let blocks = found.host - found.coming;
        match self.link.loads {
            Loads::Always => true,
            Loads::WhenCheaper => {
                let (ready, _) = self.link.book(now, blocks);
                let computed = cost.estimate(blocks * block_size, found.coming * block_size);
                ready.since(now) < computed
            }
        }
    }

    pub(super) fn start_load(&mut self, now: Instant, lease: &Lease, blocks: u32) -> TransferId {
        let id = TransferId(self.next_transfer);
        self.next_transfer += 1;
        let (ready, free_at) = self.link.book(now, blocks);
        self.link.free_at = free_at;
        self.make_room(blocks);
        self.reserved += u64::from(blocks);
        let mut next = lease.deepest;
        while let Some(node_id) = next {
            let node = self.tree.get_mut(node_id);
            node.value.pins += 1;
            if node.value.tier == TierId::HOST && node.value.loading.is_none() {
                node.value.loading = Some(id);
            }
            next = node.parent;
        }
        self.leases += 1;
        let chain = Arc::clone(&lease.chain);
        let lease = Lease { chain, deepest: lease.deepest, named: lease.named, reserved: 0 };
        self.transfers.push_back(Transfer { id, ready, blocks, lease });
        id
    }

    pub(super) fn moved(&mut self, id: NodeId, from: TierId, to: TierId) {
        let node = self.tree.get(id);
        let run = node.run(node.start, node.end);
        self.events.push(KvEvent::Stored { tier: to, run: run.clone() });
        self.events.push(KvEvent::Removed { tier: from, run });
    }
}
