//! The KV blocks of one worker: who uses which, what may be thrown out, what waits in the tiers
//! behind HBM.
//!
//! A [`Lease`] is one request's hold on the store: blocks with a name, which it shares with others
//! and which stay while anyone holds them, and reserved blocks, which are its own until they are
//! filled. Blocks nobody holds stay until room is needed; each tier's [`eviction`] rule says which
//! go first, and of one prompt the last go first, so what is left is always a set of whole prefixes.
//!
//! What leaves HBM goes to the next tier that fills by spilling, and from there to the one behind
//! it; a tier that is written through has a copy from the start. A block is in at most one of HBM
//! and the tiers that fill by spilling.

mod acquire;
mod check;
pub mod eviction;
mod fetch;
mod find;
mod keep;
mod load;
mod quota;
mod room;
mod tier;

use crate::block::{BlockRun, Chain};
use crate::engine::profile::{Fill, Profile};
use crate::event::{Digest, KvEvent};
use crate::id::{MAX_TIERS, ORIGINS, TierId, TransferId};
use crate::request::Owner;
use crate::runs::{NodeId, RunTree};
use crate::time::Instant;
use eviction::EvictionRule;
pub use fetch::{Fetch, Offer};
use load::Transfers;
use quota::Quotas;
use smallvec::SmallVec;
use std::sync::Arc;
use tier::Tier;
pub use tier::Traffic;

/// The place of HBM among the tiers.
const HBM: usize = 0;

#[derive(Clone, Debug)]
struct Run {
    /// A bit for each tier that has a copy. What follows it is never nearer than it is.
    tiers: u8,
    /// Leases whose path goes through here. Such a run is in no eviction order.
    pins: u32,
    /// On its way to HBM.
    loading: Option<TransferId>,
    /// Whence, if it comes from outside; 0 otherwise.
    origin: u8,
    /// When it was last let go of, counted in releases.
    used: u64,
    /// A second request has held it.
    reused: bool,
    /// When the last copy that was begun is there.
    there_at: Instant,
    /// Whose it is, where the store marks that.
    owner: Option<Owner>,
    /// How many runs go on from here, in each tier.
    below: [u32; MAX_TIERS],
}

impl Run {
    /// Blocks that are in HBM or on the way there, whose names are held by nobody else yet.
    const fn new() -> Self {
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
    const fn found_in(&self) -> usize {
        if self.origin > 0 { self.origin as usize } else { self.tiers.trailing_zeros() as usize }
    }

    const fn in_hbm(&self) -> bool {
        self.tiers & 1 != 0
    }

    /// Whether nobody tells it from the run that follows it. Nobody holds them, they leave together,
    /// and who loads the one that follows loads this one too, which comes no sooner.
    fn is_like(&self, next: &Self) -> bool {
        let idle = (self.pins, next.pins) == (0, 0);
        let alike = (self.tiers, self.used, self.reused) == (next.tiers, next.used, next.reused);
        idle && alike && self.owner == next.owner && self.there_at >= next.there_at
    }
}

fn tiers_of(mask: u8) -> impl Iterator<Item = usize> {
    let mut left = mask;
    core::iter::from_fn(move || {
        let next = (left != 0).then(|| left.trailing_zeros() as usize);
        left &= left.wrapping_sub(1);
        next
    })
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
    /// Whose blocks it computes.
    owner: Option<Owner>,
}

impl Lease {
    fn new(chain: &Arc<Chain>) -> Self {
        let chain = Arc::clone(chain);
        Self { chain, deepest: None, named: 0, reserved: 0, owner: None }
    }

    pub const fn blocks(&self) -> u32 {
        self.named + self.reserved
    }

    /// Blocks it holds whose names others know.
    pub const fn named(&self) -> u32 {
        self.named
    }
}

/// What a request found, in blocks by where they came from.
pub type Hit = [u32; ORIGINS];

#[derive(Debug)]
pub enum Acquired {
    Ready {
        lease: Lease,
        hit: Hit,
    },
    /// Part of the hit is on its way into HBM, by these transfers.
    Waiting {
        lease: Lease,
        hit: Hit,
        transfers: SmallVec<[TransferId; 2]>,
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
    /// HBM first.
    tiers: Vec<Tier>,
    /// HBM blocks that have no name yet: of leases, and of transfers under way.
    reserved: u64,
    transfers: Transfers,
    leases: u64,
    releases: u64,
    events: Vec<KvEvent>,
    /// Asked for since the last call of [`BlockStore::take_fetches`].
    fetches: Vec<Fetch>,
    /// When a shared pool gets blocks, if there is one.
    pool: Option<Fill>,
    /// For the pool, since the last call of [`BlockStore::take_puts`].
    puts: Vec<(BlockRun, Option<Owner>)>,
    /// What each tenant has, if each has a right to a share.
    quotas: Option<Quotas>,
}

impl BlockStore {
    pub fn new(profile: &Profile) -> Self {
        let hbm = Tier::room(profile.hbm_blocks(), profile.eviction, profile.block_size);
        let behind = profile.tiers.iter().map(|spec| Tier::behind(spec, profile));
        Self { pool: profile.pool.map(|pool| pool.fill), ..Self::of(hbm, behind) }
    }

    /// One memory with nothing behind it.
    pub fn flat(blocks: u64, eviction: EvictionRule, block_size: u32) -> Self {
        let room = Tier::room(Some(blocks), eviction, block_size);
        Self { tree: RunTree::with_ends(), ..Self::of(room, core::iter::empty()) }
    }

    fn of(first: Tier, behind: impl Iterator<Item = Tier>) -> Self {
        Self {
            tree: RunTree::default(),
            tiers: core::iter::once(first).chain(behind).collect(),
            pool: None,
            puts: Vec::new(),
            quotas: None,
            reserved: 0,
            transfers: Transfers::default(),
            leases: 0,
            releases: 0,
            events: Vec::new(),
            fetches: Vec::new(),
        }
    }

    /// Reserves until the lease has `total` blocks.
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

    /// The first `blocks` blocks of the lease are filled: they get their names, and others may
    /// reuse them.
    pub fn commit(&mut self, now: Instant, lease: &mut Lease, blocks: u32) {
        while lease.named < blocks {
            let from = lease.named;
            let chain = Arc::clone(&lease.chain);
            let (node, agreed) = match self.tree.follow_below(lease.deepest, &chain, from, blocks) {
                // Somebody computed the same blocks meanwhile: ours are given back.
                Some((id, agreed)) => {
                    let part = self.hold(id, agreed);
                    if !self.tree.get(part).value.in_hbm() {
                        self.overtake(now, part);
                    }
                    (part, agreed)
                }
                None => (self.append(now, lease, from, blocks), blocks),
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
        self.releases += 1;
        self.reserved -= u64::from(lease.reserved);
        let mut next = lease.deepest;
        while let Some(id) = next {
            next = self.tree.get(id).parent;
            self.let_go(id);
        }
    }

    fn let_go(&mut self, id: NodeId) {
        let run = &mut self.tree.get_mut(id).value;
        run.pins -= 1;
        run.used = self.releases;
        if run.pins == 0 {
            self.put_into_orders(id);
        }
    }

    /// Takes what a shared pool is to get, and whose it is.
    pub fn take_puts(&mut self) -> Vec<(BlockRun, Option<Owner>)> {
        core::mem::take(&mut self.puts)
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
        let copies = |&(_, id): &(u32, NodeId)| {
            let node = self.tree.get(id);
            let run = node.run(node.start, node.end);
            tiers_of(node.value.tiers).map(move |tier| (TierId(tier as u8), run.clone()))
        };
        nodes.iter().flat_map(copies).collect()
    }

    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        for (_, node) in self.tree.iter() {
            for tier in tiers_of(node.value.tiers) {
                digest.add(TierId(tier as u8), &node.run(node.start, node.end));
            }
        }
        digest
    }

    pub fn blocks_by_tier(&self) -> [u64; MAX_TIERS] {
        let mut blocks = [0; MAX_TIERS];
        for (blocks, tier) in blocks.iter_mut().zip(&self.tiers) {
            *blocks = tier.resident;
        }
        blocks
    }

    /// What has crossed the links of each tier behind HBM.
    pub fn traffic(&self) -> impl Iterator<Item = Traffic> {
        let of = |tier: &Tier| Traffic { loading: tier.link.busy(), ..tier.traffic };
        self.tiers[1..].iter().map(of)
    }

    /// HBM blocks that somebody holds; the others are free or can be freed.
    pub fn held_blocks(&self) -> u64 {
        self.tiers[HBM].resident - self.tiers[HBM].idle + self.reserved
    }

    pub const fn leases(&self) -> u64 {
        self.leases
    }

    /// HBM blocks that are free or can be freed.
    fn available(&self) -> u64 {
        let hbm = &self.tiers[HBM];
        hbm.capacity.map_or(u64::MAX, |all| all - self.reserved - (hbm.resident - hbm.idle))
    }

    /// Pins a run up to block `to`, splitting off what lies behind.
    fn hold(&mut self, id: NodeId, to: u32) -> NodeId {
        let part = if to < self.tree.get(id).end { self.split(id, to) } else { id };
        if self.tree.get(part).value.pins == 0 {
            self.take_from_orders(part);
        }
        let run = &mut self.tree.get_mut(part).value;
        run.pins += 1;
        // The one that made it let go of it before, or computes on beside this one.
        run.reused = true;
        part
    }

    /// A run counts as reused, and with it all before it.
    fn mark_reused(&mut self, id: NodeId) {
        self.tree.get_mut(id).value.reused = true;
        let mut next = self.tree.get(id).parent;
        while let Some(above) = next.filter(|&above| !self.tree.get(above).value.reused) {
            let idle = self.tree.get(above).value.pins == 0;
            if idle {
                self.take_from_orders(above);
            }
            self.tree.get_mut(above).value.reused = true;
            if idle {
                self.put_into_orders(above);
            }
            next = self.tree.get(above).parent;
        }
    }

    /// The part before `at` becomes a run of its own.
    fn split(&mut self, id: NodeId, at: u32) -> NodeId {
        let idle = self.tree.get(id).value.pins == 0;
        if idle {
            self.take_from_orders(id);
        }
        let head = self.split_off(id, at);
        if idle {
            self.put_into_orders(id);
            self.put_into_orders(head);
        }
        head
    }

    /// The same of a run that stands in no order.
    fn split_off(&mut self, id: NodeId, at: u32) -> NodeId {
        let head = self.tree.split(id, at);
        let run = &mut self.tree.get_mut(head).value;
        let copies = run.tiers;
        run.below = core::array::from_fn(|tier| u32::from(copies >> tier & 1));
        head
    }

    /// New blocks in HBM, behind what the lease holds.
    fn append(&mut self, now: Instant, lease: &Lease, from: u32, to: u32) -> NodeId {
        if let Some(id) = lease.deepest
            && self.lengthens(now, id, lease, to - from)
        {
            self.tree.extend(id, to);
            self.put_through(id, from, lease.owner);
            for tier in tiers_of(self.tree.get(id).value.tiers) {
                self.came(id, from, tier);
                if tier != HBM {
                    self.write(now, id, to - from, tier);
                }
            }
            return id;
        }
        let run = BlockRun { chain: Arc::clone(&lease.chain), start: from, end: to };
        let owner = lease.owner.filter(|_| self.marks_owners());
        let id = self.tree.insert(lease.deepest, run, Run { owner, ..Run::new() });
        self.put_through(id, from, lease.owner);
        self.add_tier(id, HBM);
        self.write_through(now, id);
        id
    }

    /// A pool that is written through gets blocks as they are computed.
    fn put_through(&mut self, id: NodeId, from: u32, owner: Option<Owner>) {
        if self.pool == Some(Fill::WriteThrough) {
            let node = self.tree.get(id);
            self.puts.push((node.run(from, node.end), owner));
        }
    }

    /// Whether nobody could tell new blocks from the end of the lease's path, so that they make it
    /// longer.
    fn lengthens(&self, now: Instant, id: NodeId, lease: &Lease, blocks: u32) -> bool {
        let node = self.tree.get(id);
        let run = &node.value;
        let ours = run.pins == 1 && run.in_hbm() && node.children == 0;
        let copies = run.tiers & !1;
        let whose = run.owner == lease.owner || !self.marks_owners();
        ours && whose
            && Arc::ptr_eq(&node.chain, &lease.chain)
            && tiers_of(copies).all(|tier| self.tiers[tier].takes_copy(now, blocks))
    }
}
