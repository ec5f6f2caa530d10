//! Blocks on their way from a tier behind back into HBM. Each tier has a link that its transfers
//! share fairly.

use super::find::Found;
use super::{BlockStore, HBM, Lease, Offer, tiers_of};
use crate::engine::profile::{Fill, Loads};
use crate::event::PrefillCost;
use crate::id::TransferId;
use crate::runs::NodeId;
use crate::time::{Duration, Instant};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(super) struct Transfer {
    /// None: from outside.
    pub tier: Option<usize>,
    /// Blocks that are still to come.
    pub blocks: u32,
    /// What it takes beside its time on the link.
    pub latency: Duration,
    /// Keeps the path in place even if every request that waits for it goes away.
    pub lease: Lease,
}

/// What to bring to HBM.
#[derive(Debug)]
pub(super) struct Plan {
    /// From the own tiers up to here.
    pub end: u32,
    /// And from there on.
    pub offer: Option<Offer>,
}

/// All transfers under way.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    pub all: BTreeMap<TransferId, Transfer>,
    /// Off the link, and ready after the latency.
    landing: BTreeSet<(Instant, TransferId)>,
    started: u64,
}

impl Transfers {
    pub fn next_id(&mut self) -> TransferId {
        self.started += 1;
        TransferId(self.started - 1)
    }
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

    /// A transfer has brought its blocks.
    pub(super) fn land(&mut self, now: Instant, id: TransferId) -> u32 {
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
    pub(super) fn parts_of(&self, id: TransferId, lease: &Lease) -> SmallVec<[NodeId; 8]> {
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

    /// What to load and fetch: up to where the most time is gained over computing. From one source
    /// loading takes the same for every block and computing more for each than for the one before,
    /// so only the ends of tiers and of offers can be best.
    pub(super) fn plan(
        &self,
        now: Instant,
        found: &Found,
        limit: u32,
        (block_size, cost): (u32, &PrefillCost),
        offers: &[Offer],
    ) -> Plan {
        let mut best = Plan { end: found.coming, offer: None };
        // Nothing is begun on top of what may yet fail to come.
        if found.fetching {
            return best;
        }
        let gain = |end: u32, waits: f64| {
            let new = (end - found.coming) * block_size;
            let computed = cost.estimate(new, found.coming * block_size);
            computed.as_nanos() as f64 - waits
        };
        // Where the own tiers may be left, with the time until all before is here. What is loaded
        // always is never left before its end.
        let mut ends: SmallVec<[(u32, f64); 4]> = SmallVec::from_slice(&[(found.coming, 0.0)]);
        let (mut waits, mut forced) = (0.0_f64, true);
        for segment in &found.behind {
            let tier = &self.tiers[segment.tier];
            let written = segment.there_at.since(now).as_nanos() as f64;
            waits = waits.max(tier.load_estimate(now, segment.blocks) + written);
            forced &= tier.loads == Loads::Always;
            if forced {
                ends.clear();
            }
            ends.push((segment.end, waits));
        }
        let mut best_rank = (false, f64::NEG_INFINITY);
        let mut consider = |always: bool, gain: f64, plan: Plan| {
            if (always, gain) > best_rank {
                (best, best_rank) = (plan, (always, gain));
            }
        };
        for &(end, waits) in &ends {
            consider(false, gain(end, waits), Plan { end, offer: None });
            for offer in offers {
                let to = offer.blocks.min(limit);
                if to > end {
                    let waits = waits.max(offer.estimate(to - end));
                    let offer = Some(Offer { blocks: to, ..*offer });
                    consider(offer.is_some_and(|o| o.always), gain(to, waits), Plan { end, offer });
                }
            }
        }
        best
    }

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

    /// Another hold on the path of a lease, whose pins the caller has set.
    pub(super) fn again(&mut self, lease: &Lease) -> Lease {
        self.leases += 1;
        Lease { deepest: lease.deepest, named: lease.named, ..Lease::new(&lease.chain) }
    }
}
