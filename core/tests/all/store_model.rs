//! Compares the block store with a model that keeps each block separately: its leases, since when
//! it is free, its tiers. The store's runs must give the same contents.

use crate::common::follower::{Follower, SOURCE};
use crate::common::{Behind, Form, Texts, between, chance, for_seeds, tiered};
use std::collections::{BTreeMap, BTreeSet};
use warmpath_core::block::{BlockHash, Chain, TokenBlocks};
use warmpath_core::engine::profile::{Fill, Loads, Profile};
use warmpath_core::engine::store::{Acquired, BlockStore, Lease};
use warmpath_core::id::{MAX_TIERS, ORIGINS, TierId, TransferId};
use warmpath_core::rng::Rng;
use warmpath_core::routing::index::Overlap;
use warmpath_core::time::Instant;

#[derive(Debug)]
struct Block {
    /// Tiers that have a copy.
    tiers: BTreeSet<usize>,
    parent: Option<BlockHash>,
    /// Leases and transfers that hold it.
    holders: u32,
    /// Its order among the free blocks: when it became free, then the deepest first.
    free_since: (u64, u32),
    depth: u32,
    loading: Option<TransferId>,
}

impl Block {
    fn nearest(&self) -> usize {
        *self.tiers.first().expect("a block in some tier")
    }
}

/// A lease or a transfer in the model.
#[derive(Debug)]
struct Held {
    path: Vec<BlockHash>,
    reserved: u64,
}

#[derive(Debug, Default)]
struct Model {
    /// Capacity and fill of each tier, HBM first.
    tiers: Vec<(u64, Fill)>,
    blocks: BTreeMap<BlockHash, Block>,
    reserved: u64,
    transfers: BTreeMap<TransferId, Held>,
    clock: u64,
}

/// The cached part of a chain: the tier of each block, and how many are in HBM or on the way.
struct Found {
    by_depth: Vec<usize>,
    coming: usize,
    idle: u64,
}

impl Found {
    fn by_tier(&self, end: usize) -> [u32; ORIGINS] {
        let mut by_tier = [0; ORIGINS];
        self.by_depth[..end].iter().for_each(|&tier| by_tier[tier] += 1);
        by_tier
    }

    /// Where a load may end: before the first tier, or at the end of any.
    fn ends(&self) -> Vec<usize> {
        let all = self.by_depth.len();
        let last = |&depth: &usize| {
            depth == self.coming
                || depth == all
                || depth > self.coming && self.by_depth[depth - 1] != self.by_depth[depth]
        };
        (self.coming..=all).filter(last).collect()
    }
}

impl Model {
    fn find(&self, chain: &Chain, limit: u32) -> Found {
        let mut found = Found { by_depth: Vec::new(), coming: 0, idle: 0 };
        for depth in 0..limit as usize {
            let Some(block) = self.blocks.get(&chain.hash(depth as u32)) else { break };
            found.by_depth.push(block.nearest());
            if block.nearest() == 0 || block.loading.is_some() {
                found.coming = depth + 1;
                found.idle += u64::from(block.holders == 0);
            }
        }
        found
    }

    fn in_tier(&self, tier: usize) -> u64 {
        self.blocks.values().filter(|block| block.tiers.contains(&tier)).count() as u64
    }

    fn available(&self) -> u64 {
        let held = |block: &&Block| block.tiers.contains(&0) && block.holders > 0;
        self.tiers[0].0 - self.reserved - self.blocks.values().filter(held).count() as u64
    }

    fn oldest(&self, tier: usize) -> Option<BlockHash> {
        let free = self.blocks.iter().filter(|(_, b)| b.tiers.contains(&tier) && b.holders == 0);
        free.min_by_key(|(_, block)| block.free_since).map(|(&hash, _)| hash)
    }

    /// Evicts one block at a time, the least recently used first.
    fn reserve(&mut self, count: u64) {
        while self.tiers[0].0 - self.in_tier(0) - self.reserved < count {
            self.evict(0);
        }
        self.reserved += count;
    }

    fn evict(&mut self, tier: usize) {
        let hash = self.oldest(tier).expect("a block that can be evicted");
        let block = self.blocks.get_mut(&hash).unwrap();
        block.tiers.remove(&tier);
        let nearer = block.tiers.iter().any(|&other| other < tier);
        let target = (tier + 1..self.tiers.len())
            .find(|next| block.tiers.contains(next) || self.tiers[*next].1 == Fill::Spill);
        match target.filter(|_| !nearer) {
            Some(target) => self.copy(hash, target),
            None if block.tiers.is_empty() => drop(self.blocks.remove(&hash)),
            None => {}
        }
    }

    fn copy(&mut self, hash: BlockHash, tier: usize) {
        self.blocks.get_mut(&hash).unwrap().tiers.insert(tier);
        while self.in_tier(tier) > self.tiers[tier].0 && self.oldest(tier).is_some() {
            self.evict(tier);
        }
    }

    /// A held block is in HBM now.
    fn arrive(&mut self, hash: BlockHash) {
        let tiers = self.tiers.clone();
        let block = self.blocks.get_mut(&hash).unwrap();
        block.tiers.retain(|&tier| tiers[tier].1 == Fill::WriteThrough);
        block.tiers.insert(0);
        let parent = block.parent.and_then(|parent| self.blocks.get(&parent));
        let above = parent.map(|parent| parent.tiers.clone());
        for (tier, &(_, fill)) in tiers.iter().enumerate().skip(1) {
            let through = fill == Fill::WriteThrough;
            if through && above.as_ref().is_none_or(|above| above.contains(&tier)) {
                self.copy(hash, tier);
            }
        }
    }

    fn hold(&mut self, path: &[BlockHash]) {
        for hash in path {
            self.blocks.get_mut(hash).unwrap().holders += 1;
        }
    }

    fn release(&mut self, held: Held) {
        self.reserved -= held.reserved;
        self.clock += 1;
        for hash in held.path {
            let block = self.blocks.get_mut(&hash).expect("a held block");
            block.holders -= 1;
            block.free_since = (self.clock, u32::MAX - block.depth);
        }
    }

    fn commit(&mut self, held: &mut Held, chain: &Chain, blocks: u32) {
        for depth in held.path.len() as u32..blocks {
            let hash = chain.hash(depth);
            held.reserved -= 1;
            self.reserved -= 1;
            let parent = depth.checked_sub(1).map(|above| chain.hash(above));
            let block = self.blocks.entry(hash).or_insert_with(|| Block {
                tiers: BTreeSet::new(),
                parent,
                holders: 0,
                free_since: (0, 0),
                depth,
                loading: None,
            });
            block.holders += 1;
            // It was computed before it arrived, so the transfer needs no room for it.
            self.reserved -= u64::from(block.loading.take().is_some());
            if !block.tiers.contains(&0) {
                self.arrive(hash);
            }
            held.path.push(hash);
        }
    }

    fn finish(&mut self, transfer: TransferId) {
        let held = self.transfers.remove(&transfer).expect("a transfer under way");
        for hash in &held.path {
            let block = self.blocks.get_mut(hash).unwrap();
            if block.loading == Some(transfer) {
                block.loading = None;
                self.reserved -= 1;
                self.arrive(*hash);
            }
        }
        self.release(held);
    }

    fn contents(&self) -> BTreeSet<(TierId, BlockHash)> {
        let copies = |(&hash, block): (&BlockHash, &Block)| {
            block.tiers.iter().map(move |&tier| (TierId(tier as u8), hash)).collect::<Vec<_>>()
        };
        self.blocks.iter().flat_map(copies).collect()
    }
}

/// A request with a lease, in the store and in the model.
struct User {
    lease: Lease,
    held: Held,
    chain: Chain,
    waiting: Vec<TransferId>,
}

struct Pair {
    store: BlockStore,
    model: Model,
    profile: Profile,
    follower: Follower,
    now: Instant,
    users: Vec<User>,
}

impl Pair {
    fn new(block_size: u32, capacity: u64, behind: &Behind, loads: Loads) -> Self {
        let profile = tiered(block_size, capacity, behind, loads);
        let store = BlockStore::new(&profile);
        let tiers = core::iter::once((capacity, Fill::Spill)).chain(behind.clone()).collect();
        let model = Model { tiers, ..Model::default() };
        let (now, users) = (Instant::START, Vec::new());
        Self { store, model, profile, follower: Follower::default(), now, users }
    }

    /// Acquires as the scheduler does: all but the last token may be cached, and one more gets
    /// room.
    fn acquire(&mut self, sequence: &TokenBlocks) -> bool {
        let size = sequence.block_size();
        let (limit, total) = (sequence.reusable_blocks(), (sequence.tokens() + 1).div_ceil(size));
        let chain = sequence.chain().clone();
        let found = self.model.find(&chain, limit);
        let room = u64::from(total) - found.coming as u64 + found.idle <= self.model.available();
        let before = self.store.contents();
        let cost = self.profile.prefill_cost();
        let (lease, hit, waiting) =
            match self.store.acquire(self.now, sequence, limit, total, &cost, &[]) {
                Acquired::Ready { lease, hit } => (lease, hit, Vec::new()),
                Acquired::Waiting { lease, hit, transfers } => (lease, hit, transfers.to_vec()),
                Acquired::NoRoom => {
                    assert!(!room, "the store refuses {total} blocks and has room for them");
                    assert!(!self.store.has_events() && self.store.contents() == before);
                    return false;
                }
            };
        assert!(room, "the store accepts {total} blocks without room for them");
        let end = hit.iter().sum::<u32>() as usize;
        let always = self.profile.tiers.iter().all(|tier| tier.loads == Loads::Always);
        assert!(!always || end == found.by_depth.len(), "a tier with loads always was not loaded");
        assert!(found.ends().contains(&end), "{end} blocks, expected one of {:?}", found.ends());
        assert_eq!(hit, found.by_tier(end), "hit by tier");
        let path: Vec<BlockHash> = (0..end as u32).map(|depth| chain.hash(depth)).collect();
        self.model.hold(&path);
        let to_load = &found.by_depth[found.coming..end];
        let sources: BTreeSet<usize> = to_load.iter().copied().collect();
        for (&id, &tier) in waiting[waiting.len() - sources.len()..].iter().zip(&sources) {
            self.model.hold(&path);
            for hash in &path[found.coming..] {
                let block = self.model.blocks.get_mut(hash).unwrap();
                if block.nearest() == tier {
                    block.loading = Some(id);
                }
            }
            let blocks = to_load.iter().filter(|&&source| source == tier).count();
            self.model.reserve(blocks as u64);
            self.model.transfers.insert(id, Held { path: path.clone(), reserved: 0 });
        }
        let loading: BTreeSet<TransferId> =
            path.iter().filter_map(|hash| self.model.blocks[hash].loading).collect();
        let awaited: BTreeSet<TransferId> = waiting.iter().copied().collect();
        assert_eq!((awaited.len(), &awaited), (waiting.len(), &loading), "awaited transfers");
        let own = u64::from(total) - end as u64;
        self.model.reserve(own);
        let held = Held { path, reserved: own };
        self.users.push(User { lease, held, chain, waiting });
        true
    }

    fn grow(&mut self, user: usize, blocks: u32) {
        let user = &mut self.users[user];
        let total = user.lease.blocks() + blocks;
        let room = u64::from(blocks) <= self.model.available();
        assert_eq!(
            self.store.grow(self.now, &mut user.lease, total).is_ok(),
            room,
            "{blocks} blocks more"
        );
        if room {
            self.model.reserve(u64::from(blocks));
            user.held.reserved += u64::from(blocks);
        }
    }

    fn commit(&mut self, user: usize, blocks: u32) {
        let user = &mut self.users[user];
        self.store.commit(self.now, &mut user.lease, blocks);
        self.model.commit(&mut user.held, &user.chain, blocks);
    }

    fn release(&mut self, user: usize) {
        let user = self.users.swap_remove(user);
        self.store.release(user.lease);
        self.model.release(user.held);
    }

    fn pass(&mut self, until: Instant) {
        self.now = until;
        while let Some(id) = self.store.finish_load(self.now) {
            self.model.finish(id);
            for user in &mut self.users {
                user.waiting.retain(|&waits| waits != id);
            }
            self.check();
        }
    }

    fn check(&mut self) {
        self.store.check();
        let contents = self.store.contents();
        let listed: Vec<(TierId, BlockHash)> =
            contents.iter().flat_map(|(t, run)| run.hashes().map(|h| (*t, h))).collect();
        let set: BTreeSet<_> = listed.iter().copied().collect();
        assert_eq!(set.len(), listed.len(), "a block is listed twice");
        assert_eq!(set, self.model.contents(), "resident blocks");
        let counts: [u64; MAX_TIERS] = core::array::from_fn(|tier| self.model.in_tier(tier));
        assert_eq!(self.store.blocks_by_tier(), counts);
        let leases = self.users.len() + self.model.transfers.len();
        assert_eq!(self.store.leases(), leases as u64);
        self.follower.follow(&mut self.store);
    }

    fn check_overlap(&self, prompt: &TokenBlocks) {
        let mut overlap = Overlap::default();
        self.follower.index.overlap(prompt, &mut overlap);
        let found = self.model.find(prompt.chain(), prompt.reusable_blocks());
        let seen = overlap.get(SOURCE).map_or([0; 4], |entry| entry.by_tier);
        assert_eq!(
            seen[..],
            found.by_tier(found.by_depth.len())[..MAX_TIERS],
            "what a router expects to hit"
        );
    }

    /// Releases all leases; then all of HBM can be leased.
    fn drain(mut self) {
        while !self.users.is_empty() {
            self.release(0);
            self.check();
        }
        while let Some(ready) = self.store.next_ready() {
            self.pass(ready);
        }
        self.check();
        let all = self.model.tiers[0].0 as u32;
        let size = self.profile.block_size;
        let alone = Chain::from_wire(size, 0, vec![BlockHash::from_wire(9); all as usize]);
        let (whole, cost) = (TokenBlocks::new(alone, 1), self.profile.prefill_cost());
        let Acquired::Ready { lease, .. } =
            self.store.acquire(self.now, &whole, 0, all, &cost, &[])
        else {
            panic!("{all} blocks can't be leased")
        };
        self.store.release(lease);
        self.store.check();
    }
}

struct Shape {
    longest_blocks: u32,
    capacity: (u32, u32),
    behind: (u32, u32),
    /// The most tiers behind HBM.
    tiers: u32,
    steps: u32,
}

fn random_behind(rng: &mut Rng, shape: &Shape, hbm: u64) -> Behind {
    let one = |rng: &mut Rng| {
        let blocks = u64::from(between(rng, shape.behind.0, shape.behind.1));
        // A written-through tier must hold all leased blocks; otherwise copies depend on how runs
        // are cut.
        if chance(rng, 40) { (hbm + blocks, Fill::WriteThrough) } else { (blocks, Fill::Spill) }
    };
    (0..between(rng, shape.tiers.min(1), shape.tiers)).map(|_| one(rng)).collect()
}

fn random_walk(rng: &mut Rng, shape: &Shape) {
    let count = between(rng, 2, 7) as usize;
    let texts = Texts::random(rng, Form::Described, count, shape.longest_blocks);
    let capacity = u64::from(between(rng, shape.capacity.0, shape.capacity.1));
    let behind = random_behind(rng, shape, capacity);
    let loads = if chance(rng, 60) { Loads::Always } else { Loads::WhenCheaper };
    let mut pair = Pair::new(texts.block_size, capacity, &behind, loads);
    let (mut accepted, mut full) = (0, 0);
    for _ in 0..shape.steps {
        let user = (!pair.users.is_empty()).then(|| rng.below(pair.users.len() as u64) as usize);
        let ready = user.filter(|&user| pair.users[user].waiting.is_empty());
        match (rng.below(100), user, ready) {
            (0..25, ..) => {
                let prompt = texts.prompt(rng);
                *(if pair.acquire(&prompt) { &mut accepted } else { &mut full }) += 1;
            }
            (25..60, _, Some(user)) => {
                let state = &pair.users[user];
                let most = state.lease.blocks().min(state.chain.blocks());
                let done = state.held.path.len() as u32;
                pair.commit(user, between(rng, done.min(most), most));
            }
            (60..70, _, Some(user)) => pair.grow(user, between(rng, 0, 2)),
            (70..90, Some(user), _) => pair.release(user),
            _ => {
                let later = pair.now.as_nanos() + rng.below(60_000);
                pair.pass(Instant::from_nanos(later));
            }
        }
        pair.check();
        pair.check_overlap(&texts.prompt(rng));
    }
    assert!(accepted + full > 0, "a walk without any acquire tests nothing");
    pair.drain();
}

#[test]
fn one_tier_equals_a_block_by_block_lru() {
    let shape =
        Shape { longest_blocks: 10, capacity: (3, 30), behind: (0, 0), tiers: 0, steps: 120 };
    for_seeds(0..3_000, |rng| random_walk(rng, &shape));
}

#[test]
fn one_tier_equals_it_for_texts_longer_than_an_anchor() {
    let shape =
        Shape { longest_blocks: 200, capacity: (150, 400), behind: (0, 0), tiers: 0, steps: 60 };
    for_seeds(1_000..1_150, |rng| random_walk(rng, &shape));
}

#[test]
fn several_tiers_equal_a_block_by_block_lru() {
    let shape =
        Shape { longest_blocks: 10, capacity: (3, 20), behind: (1, 20), tiers: 3, steps: 150 };
    for_seeds(2_000..8_000, |rng| random_walk(rng, &shape));
}

#[test]
fn several_tiers_equal_it_for_texts_longer_than_an_anchor() {
    let shape =
        Shape { longest_blocks: 200, capacity: (150, 300), behind: (50, 300), tiers: 2, steps: 80 };
    for_seeds(8_000..8_150, |rng| random_walk(rng, &shape));
}
