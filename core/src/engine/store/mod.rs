//! The KV blocks of one worker: who uses which, what may be thrown out, what waits in the tier
//! behind HBM.
//!
//! A [`Lease`] is one request's hold on the store: blocks with a name, which it shares with others
//! and which stay while anyone holds them, and reserved blocks, which are its own until they are
//! filled. Blocks nobody holds stay until room is needed; the least recently used go first, and of
//! one prompt the last go first, so what is left is always a set of whole prefixes. With a host
//! tier they move there instead of vanishing, and a block is in one tier at a time.

mod load;
mod room;
mod tier;

use crate::block::{BlockRun, Chain, TokenBlocks};
use crate::engine::profile::Profile;
use crate::event::{Digest, KvEvent, PrefillCost};
use crate::id::{MAX_TIERS, TierId, TransferId};
use crate::runs::{NodeId, RunTree};
use crate::time::Instant;
use load::{Link, Transfer};
use std::collections::VecDeque;
use std::sync::Arc;
use tier::Tier;

#[derive(Clone, Debug)]
struct Run {
    tier: TierId,
    /// Leases whose path goes through here. Such a run is in no eviction order.
    pins: u32,
    /// On its way from the host tier to HBM.
    loading: Option<TransferId>,
}

/// One request's hold on the store. Must be given back with [`BlockStore::release`].
#[must_use]
#[derive(Debug)]
pub struct Lease {
    chain: Arc<Chain>,
    deepest: Option<NodeId>,
    /// Named blocks it holds, from the start of the chain.
    named: u32,
    /// Blocks of its own behind them.
    reserved: u32,
}

impl Lease {
    pub const fn blocks(&self) -> u32 {
        self.named + self.reserved
    }
}

/// What a request found, in blocks by tier.
pub type Hit = [u32; MAX_TIERS];

#[derive(Debug)]
pub enum Acquired {
    Ready {
        lease: Lease,
        hit: Hit,
    },
    /// Part of the hit is on its way into HBM.
    Waiting {
        lease: Lease,
        hit: Hit,
        transfer: TransferId,
    },
    /// Not enough blocks can be freed now. Nothing has changed.
    NoRoom,
}

/// No block can be freed: everything is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

#[derive(Debug)]
pub struct BlockStore {
    tree: RunTree<Run>,
    hbm: Tier,
    host: Option<Tier>,
    link: Link,
    /// HBM blocks that have no name yet: of leases, and of transfers under way.
    reserved: u64,
    transfers: VecDeque<Transfer>,
    next_transfer: u64,
    leases: u64,
    events: Vec<KvEvent>,
}

impl BlockStore {
    pub fn new(profile: &Profile) -> Self {
        let block_size = u64::from(profile.block_size);
        Self {
            tree: RunTree::default(),
            hbm: Tier::new(profile.hbm_blocks()),
            host: profile.host.map(|host| Tier::new(Some(host.tokens / block_size))),
            link: Link::new(profile),
            reserved: 0,
            transfers: VecDeque::new(),
            next_transfer: 0,
            leases: 0,
            events: Vec::new(),
        }
    }

    /// Holds what is there of the first `limit` blocks of `sequence`, and reserves HBM for `total`
    /// blocks in all.
    pub fn acquire(
        &mut self,
        now: Instant,
        sequence: &TokenBlocks,
        limit: u32,
        total: u32,
        cost: &PrefillCost,
    ) -> Acquired {
        let chain = sequence.chain();
        let found = self.find(chain, limit);
        let load = self.worth_loading(now, &found, chain.block_size(), cost);
        let end = if load { found.host } else { found.coming };
        // Blocks that need a place in HBM: new ones and those to load. Blocks that are evictable
        // now but about to be held can't make that room.
        let need = u64::from(total.saturating_sub(found.coming));
        if need + found.idle_hbm > self.available() {
            return Acquired::NoRoom;
        }
        let mut lease = Lease { chain: Arc::clone(chain), deepest: None, named: 0, reserved: 0 };
        self.leases += 1;
        let mut waiting_for = None;
        let mut depth = 0;
        while let Some((id, agreed)) = self.tree.follow(chain, depth, end) {
            let part = self.hold(id, agreed);
            waiting_for = self.tree.get(part).value.loading.or(waiting_for);
            (lease.deepest, lease.named, depth) = (Some(part), agreed, agreed);
        }
        if end > found.coming {
            waiting_for = Some(self.start_load(now, &lease, end - found.coming));
        }
        let own = total.saturating_sub(lease.named);
        self.make_room(own);
        self.reserved += u64::from(own);
        lease.reserved = own;
        let mut hit = [0; MAX_TIERS];
        hit[0] = found.hbm;
        hit[1] = end - found.hbm;
        match waiting_for {
            Some(transfer) => Acquired::Waiting { lease, hit, transfer },
            None => Acquired::Ready { lease, hit },
        }
    }

    /// Reserves until the lease has `total` blocks.
    pub fn grow(&mut self, lease: &mut Lease, total: u32) -> Result<(), NoRoom> {
        let more = total.saturating_sub(lease.blocks());
        if u64::from(more) > self.available() {
            return Err(NoRoom);
        }
        self.make_room(more);
        self.reserved += u64::from(more);
        lease.reserved += more;
        Ok(())
    }

    /// The first `blocks` blocks of the lease are filled: they get their names, and others may
    /// reuse them.
    pub fn commit(&mut self, lease: &mut Lease, blocks: u32) {
        while lease.named < blocks {
            let from = lease.named;
            let chain = Arc::clone(&lease.chain);
            let (node, agreed) = match self.tree.follow(&chain, from, blocks) {
                // Somebody computed the same blocks meanwhile: ours are given back.
                Some((id, agreed)) => {
                    let part = self.hold(id, agreed);
                    if self.tree.get(part).value.tier == TierId::HOST {
                        self.overtake(part);
                    }
                    (part, agreed)
                }
                None => (self.append(lease, from, blocks), blocks),
            };
            let count = agreed - from;
            assert!(lease.reserved >= count, "a block was filled that was never reserved");
            lease.reserved -= count;
            self.reserved -= u64::from(count);
            (lease.deepest, lease.named) = (Some(node), agreed);
        }
    }

    /// Gives everything back. Named blocks stay for others until room is needed.
    pub fn release(&mut self, lease: Lease) {
        self.leases -= 1;
        self.reserved -= u64::from(lease.reserved);
        let mut next = lease.deepest;
        // The end of the path first: of what falls free together, the end is thrown out first.
        while let Some(id) = next {
            let node = self.tree.get_mut(id);
            next = node.parent;
            node.value.pins -= 1;
            if node.value.pins == 0 {
                let (tier, len) = (node.value.tier, node.len());
                self.tier_mut(tier).let_go(id, len);
            }
        }
    }

    /// Takes what changed since the last call.
    pub fn take_events(&mut self) -> Vec<KvEvent> {
        core::mem::take(&mut self.events)
    }

    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Everything with a name, by tier, parents before children.
    pub fn contents(&self) -> Vec<(TierId, BlockRun)> {
        let mut nodes: Vec<(u32, NodeId)> =
            self.tree.iter().map(|(id, node)| (node.start, id)).collect();
        nodes.sort_unstable();
        let run = |&(_, id): &(u32, NodeId)| {
            let node = self.tree.get(id);
            (node.value.tier, node.run(node.start, node.end))
        };
        nodes.iter().map(run).collect()
    }

    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        for (_, node) in self.tree.iter() {
            digest.add(node.value.tier, &node.run(node.start, node.end));
        }
        digest
    }

    pub fn blocks_by_tier(&self) -> [u64; MAX_TIERS] {
        let mut blocks = [0; MAX_TIERS];
        blocks[0] = self.hbm.resident;
        blocks[1] = self.host.as_ref().map_or(0, |host| host.resident);
        blocks
    }

    /// HBM blocks that somebody holds; the others are free or can be freed.
    pub fn held_blocks(&self) -> u64 {
        self.hbm.resident - self.hbm.idle + self.reserved
    }

    pub const fn leases(&self) -> u64 {
        self.leases
    }

    /// HBM is never overcommitted.
    pub fn check_capacity(&self) {
        if let Some(capacity) = self.hbm.capacity {
            let used = self.hbm.resident + self.reserved;
            assert!(used <= capacity, "{used} blocks in use, the worker has {capacity}");
        }
    }

    /// For tests, and at rest: every count equals what it counts.
    pub fn check(&self) {
        self.tree.check();
        self.check_capacity();
        let (mut resident, mut idle, mut pins) = ([0; 2], [0; 2], 0);
        let mut loading = 0;
        for (id, node) in self.tree.iter() {
            let run = &node.value;
            let (tier, len) = (run.tier.0 as usize, u64::from(node.len()));
            resident[tier] += len;
            if run.pins == 0 {
                idle[tier] += len;
                assert!(run.loading.is_none(), "a run is loading for nobody");
            }
            loading += if run.loading.is_some() { len } else { 0 };
            pins += run.pins;
            let in_order = self.tier(run.tier).in_order(id);
            assert_eq!(in_order, run.pins == 0, "a held run is in the eviction order, or not");
            if let Some(parent) = node.parent {
                let parent = &self.tree.get(parent).value;
                assert!(parent.pins >= run.pins, "a run is held without its parent");
                assert!(parent.tier <= run.tier, "a block is nearer than its parent");
            }
        }
        self.hbm.check(resident[0], idle[0]);
        if let Some(host) = &self.host {
            host.check(resident[1], idle[1]);
        }
        if self.leases == 0 {
            assert_eq!((pins, self.reserved, loading), (0, 0, 0), "held by nobody");
        }
    }

    fn tier(&self, tier: TierId) -> &Tier {
        match tier {
            TierId::HBM => &self.hbm,
            _ => self.host.as_ref().expect("a host tier"),
        }
    }

    fn tier_mut(&mut self, tier: TierId) -> &mut Tier {
        match tier {
            TierId::HBM => &mut self.hbm,
            _ => self.host.as_mut().expect("a host tier"),
        }
    }

    /// HBM blocks that are free or can be freed.
    fn available(&self) -> u64 {
        let Some(capacity) = self.hbm.capacity else { return u64::MAX };
        capacity - self.reserved - (self.hbm.resident - self.hbm.idle)
    }

    fn find(&self, chain: &Arc<Chain>, limit: u32) -> Found {
        let mut found = Found::default();
        while let Some((id, agreed)) = self.tree.follow(chain, found.host, limit) {
            let node = self.tree.get(id);
            let run = &node.value;
            if run.tier == TierId::HBM {
                found.hbm = agreed;
                if run.pins == 0 {
                    found.idle_hbm += u64::from(agreed - found.host);
                }
            }
            if run.tier == TierId::HBM || run.loading.is_some() {
                found.coming = agreed;
            }
            found.host = agreed;
            if agreed < node.end {
                break;
            }
        }
        found
    }

    /// Pins a run up to block `to`, splitting off what lies behind.
    fn hold(&mut self, id: NodeId, to: u32) -> NodeId {
        let part = if to < self.tree.get(id).end { self.split(id, to) } else { id };
        let node = self.tree.get_mut(part);
        node.value.pins += 1;
        if node.value.pins == 1 {
            let (tier, len) = (node.value.tier, node.len());
            self.tier_mut(tier).keep(part, len);
        }
        part
    }

    /// The part before `at` becomes a run of its own, next to the rest in the eviction order.
    fn split(&mut self, id: NodeId, at: u32) -> NodeId {
        let head = self.tree.split(id, at);
        let run = self.tree.get(head).value.clone();
        if run.pins == 0 {
            self.tier_mut(run.tier).split_off(head);
        }
        head
    }

    fn append(&mut self, lease: &Lease, from: u32, to: u32) -> NodeId {
        self.hbm.resident += u64::from(to - from);
        let run = BlockRun { chain: Arc::clone(&lease.chain), start: from, end: to };
        self.events.push(KvEvent::Stored { tier: TierId::HBM, run: run.clone() });
        if let Some(id) = lease.deepest {
            let node = self.tree.get(id);
            let ours = node.value.pins == 1 && node.value.tier == TierId::HBM;
            if ours && node.children == 0 && Arc::ptr_eq(&node.chain, &lease.chain) {
                self.tree.extend(id, to);
                return id;
            }
        }
        let value = Run { tier: TierId::HBM, pins: 1, loading: None };
        self.tree.insert(lease.deepest, run, value)
    }
}

/// How far a chain is there, in blocks from its start: in HBM, in HBM or on the way, anywhere.
#[derive(Clone, Copy, Default, Debug)]
struct Found {
    hbm: u32,
    coming: u32,
    host: u32,
    /// Of the part in HBM, what nobody holds yet.
    idle_hbm: u64,
}
