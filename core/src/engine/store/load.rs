//! Blocks on their way from a tier behind back into HBM. Each tier has a link that its transfers
//! share fairly.

use super::find::Found;
use super::{BlockStore, HBM, Lease, tiers_of};
use crate::engine::profile::{Fill, Loads};
use crate::event::PrefillCost;
use crate::id::TransferId;
use crate::runs::NodeId;
use crate::time::{Duration, Instant};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug)]
struct Transfer {
    tier: usize,
    /// Blocks that are still to come.
    blocks: u32,
    /// What it takes beside its time on the link.
    latency: Duration,
    /// Keeps the path in place even if every request that waits for it goes away.
    lease: Lease,
}

/// All transfers under way.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    all: BTreeMap<TransferId, Transfer>,
    /// Off the link, and ready after the latency.
    landing: BTreeSet<(Instant, TransferId)>,
    started: u64,
}

impl BlockStore {
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

    fn land(&mut self, now: Instant, id: TransferId) {
        let transfer = self.transfers.all.remove(&id).expect("a transfer that was started");
        let mut parts: SmallVec<[NodeId; 8]> = SmallVec::new();
        let mut next = transfer.lease.deepest;
        while let Some(part) = next {
            let node = self.tree.get(part);
            if node.value.loading == Some(id) {
                parts.push(part);
            }
            next = node.parent;
        }
        let blocks: u32 = parts.iter().map(|&part| self.tree.get(part).len()).sum();
        assert_eq!(blocks, transfer.blocks, "a transfer lost blocks on the way");
        self.reserved -= u64::from(blocks);
        self.tiers[transfer.tier].traffic.loaded_blocks += u64::from(blocks);
        for &part in parts.iter().rev() {
            self.arrive(now, part);
        }
        self.release(transfer.lease);
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
        run.loading = None;
        for tier in tiers_of(run.tiers & !1) {
            if self.tiers[tier].fill == Fill::Spill {
                self.drop_tier(id, tier);
            }
        }
        self.write_through(now, id);
    }

    /// How far to load: to the end of the tier where the most time is gained over computing. Within
    /// a tier loading takes the same for every block and computing more for each than for the one
    /// before, so only the ends of tiers can be best.
    pub(super) fn worth_loading(
        &self,
        now: Instant,
        found: &Found,
        block_size: u32,
        cost: &PrefillCost,
    ) -> u32 {
        let (mut best, mut best_gain) = (found.coming, 0.0);
        let (mut waits, mut all_forced) = (0.0_f64, true);
        for segment in &found.behind {
            let tier = &self.tiers[segment.tier];
            let written = segment.there_at.since(now).as_nanos() as f64;
            waits = waits.max(tier.load_estimate(now, segment.blocks) + written);
            all_forced &= tier.loads == Loads::Always;
            let new = (segment.end - found.coming) * block_size;
            let computed = cost.estimate(new, found.coming * block_size).as_nanos() as f64;
            let gain = computed - waits;
            if all_forced || gain > best_gain {
                (best, best_gain) = (segment.end, if all_forced { f64::MIN } else { gain });
            }
        }
        best
    }

    /// Begins to load what lies in one tier of the path that `lease` holds.
    pub(super) fn start_load(&mut self, now: Instant, lease: &Lease, tier: usize) -> TransferId {
        let id = TransferId(self.transfers.started);
        self.transfers.started += 1;
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
        self.leases += 1;
        let source = &mut self.tiers[tier];
        source.link.start(now, id, f64::from(blocks) * source.load_ns_per_block);
        let latency = source.latency + there_at.since(now);
        let chain = Arc::clone(&lease.chain);
        let lease = Lease { chain, deepest: lease.deepest, named: lease.named, reserved: 0 };
        self.transfers.all.insert(id, Transfer { tier, blocks, latency, lease });
        id
    }
}
