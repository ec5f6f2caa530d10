//! The block store against a model that keeps every block by itself: who holds it, since when it
//! is free, in which tier it is. The store's runs must come to the same.

mod common;

use common::{Form, Texts, between, chance, for_seeds, host, round_profile};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use warmpath_core::block::{BlockHash, Chain, TokenBlocks};
use warmpath_core::engine::profile::{Loads, Profile};
use warmpath_core::engine::store::{Acquired, BlockStore, Lease};
use warmpath_core::event::{KvBatch, Snapshot};
use warmpath_core::id::{SourceId, TierId, TransferId, WorkerId};
use warmpath_core::rng::Rng;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::time::Instant;

const SOURCE: SourceId = SourceId::Worker(WorkerId(0));

#[derive(Debug)]
struct Block {
    tier: TierId,
    /// Leases and transfers that hold it.
    holders: u32,
    /// Its place among the free blocks of its tier: when it fell free, then the deepest first.
    free_since: (u64, u32),
    depth: u32,
    loading: Option<TransferId>,
}

/// What the model knows of a lease or a transfer.
#[derive(Debug)]
struct Held {
    path: Vec<BlockHash>,
    reserved: u64,
}

#[derive(Debug, Default)]
struct Model {
    capacity: u64,
    host_capacity: u64,
    blocks: BTreeMap<BlockHash, Block>,
    reserved: u64,
    transfers: BTreeMap<TransferId, Held>,
    clock: u64,
}

/// How deep a chain is there: all of it, and what of it is in HBM or on the way.
struct Found {
    all: usize,
    coming: usize,
    hbm: usize,
    idle: u64,
}

impl Model {
    fn find(&self, chain: &Chain, limit: u32) -> Found {
        let mut found = Found { all: 0, coming: 0, hbm: 0, idle: 0 };
        for depth in 0..limit as usize {
            let Some(block) = self.blocks.get(&chain.hash(depth as u32)) else { break };
            found.all = depth + 1;
            if block.tier == TierId::HBM {
                found.hbm = depth + 1;
                found.idle += u64::from(block.holders == 0);
            }
            if block.tier == TierId::HBM || block.loading.is_some() {
                found.coming = depth + 1;
            }
        }
        found
    }

    fn in_tier(&self, tier: TierId) -> u64 {
        self.blocks.values().filter(|block| block.tier == tier).count() as u64
    }

    fn available(&self) -> u64 {
        let held = |block: &&Block| block.tier == TierId::HBM && block.holders > 0;
        self.capacity - self.reserved - self.blocks.values().filter(held).count() as u64
    }

    fn oldest(&self, tier: TierId) -> Option<BlockHash> {
        let free = self.blocks.iter().filter(|(_, b)| b.tier == tier && b.holders == 0);
        free.min_by_key(|(_, block)| block.free_since).map(|(&hash, _)| hash)
    }

    /// One block at a time, the least recently used first; a full host tier drops its own oldest.
    fn reserve(&mut self, count: u64) {
        while self.capacity - self.in_tier(TierId::HBM) - self.reserved < count {
            let hash = self.oldest(TierId::HBM).expect("room was promised");
            if self.host_capacity == 0 {
                self.blocks.remove(&hash);
                continue;
            }
            self.clock += 1;
            let block = self.blocks.get_mut(&hash).unwrap();
            (block.tier, block.free_since) = (TierId::HOST, (self.clock, 0));
            if self.in_tier(TierId::HOST) > self.host_capacity {
                let dropped = self.oldest(TierId::HOST).expect("at least the one that just came");
                self.blocks.remove(&dropped);
            }
        }
        self.reserved += count;
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
            let block = self.blocks.get_mut(&hash).expect("a held block stays");
            block.holders -= 1;
            block.free_since = (self.clock, u32::MAX - block.depth);
        }
    }

    fn commit(&mut self, held: &mut Held, chain: &Chain, blocks: u32) {
        for depth in held.path.len() as u32..blocks {
            let hash = chain.hash(depth);
            held.reserved -= 1;
            self.reserved -= 1;
            let tier = TierId::HBM;
            let new = Block { tier, holders: 0, free_since: (0, 0), depth, loading: None };
            let block = self.blocks.entry(hash).or_insert(new);
            block.holders += 1;
            block.tier = TierId::HBM;
            // Computed before it arrived: the transfer's room is not needed any more.
            self.reserved -= u64::from(block.loading.take().is_some());
            held.path.push(hash);
        }
    }

    fn finish(&mut self, transfer: TransferId) {
        for block in self.blocks.values_mut().filter(|b| b.loading == Some(transfer)) {
            (block.loading, block.tier) = (None, TierId::HBM);
            self.reserved -= 1;
        }
        let held = self.transfers.remove(&transfer).expect("a transfer that was started");
        self.release(held);
    }

    fn contents(&self) -> BTreeSet<(TierId, BlockHash)> {
        self.blocks.iter().map(|(&hash, block)| (block.tier, hash)).collect()
    }
}

/// A request that holds blocks, in the store and in the model.
struct User {
    lease: Lease,
    held: Held,
    chain: Arc<Chain>,
    waiting: Option<TransferId>,
}

struct Pair {
    store: BlockStore,
    model: Model,
    profile: Profile,
    /// Follows the store by its events alone.
    index: PrefixIndex,
    seq: u64,
    now: Instant,
    users: Vec<User>,
}

impl Pair {
    fn new(block_size: u32, capacity: u64, host_capacity: u64, loads: Loads) -> Self {
        let size = u64::from(block_size);
        let mut profile = round_profile(block_size);
        profile.hbm_tokens = Some(capacity * size);
        // 1 µs a token to load against 10 µs to compute, after 50 µs of latency.
        profile.host = host(host_capacity * size, 1.0, 50.0, loads).filter(|_| host_capacity > 0);
        let mut index = PrefixIndex::default();
        index.replace(&Snapshot { source: SOURCE, epoch: 0, seq: 0, runs: Vec::new() }).unwrap();
        let store = BlockStore::new(&profile);
        let model = Model { capacity, host_capacity, ..Model::default() };
        let (now, users) = (Instant::START, Vec::new());
        Self { store, model, profile, index, seq: 0, now, users }
    }

    /// As the scheduler would: all but the last token may be reused, and one more gets room.
    fn acquire(&mut self, sequence: &TokenBlocks) -> bool {
        let size = sequence.block_size();
        let (limit, total) = (sequence.reusable_blocks(), (sequence.tokens() + 1).div_ceil(size));
        let chain = Arc::clone(sequence.chain());
        let found = self.model.find(&chain, limit);
        let room = u64::from(total) - found.coming as u64 + found.idle <= self.model.available();
        let before = self.store.contents();
        let cost = self.profile.prefill_cost();
        let (lease, hit, waiting) =
            match self.store.acquire(self.now, sequence, limit, total, &cost) {
                Acquired::Ready { lease, hit } => (lease, hit, None),
                Acquired::Waiting { lease, hit, transfer } => (lease, hit, Some(transfer)),
                Acquired::NoRoom => {
                    assert!(!room, "refused although there was room for {total} blocks");
                    assert!(!self.store.has_events() && self.store.contents() == before);
                    return false;
                }
            };
        assert!(room, "accepted {total} blocks without room for them");
        let end = (hit[0] + hit[1]) as usize;
        let declined = self.profile.host.is_some_and(|host| host.loads == Loads::WhenCheaper);
        assert_eq!(hit[0] as usize, found.hbm, "found in HBM");
        assert!(end == found.all || declined && end == found.coming, "found {end} blocks");
        let path: Vec<BlockHash> = (0..end as u32).map(|depth| chain.hash(depth)).collect();
        self.model.hold(&path);
        let started = end - found.coming;
        if started > 0 {
            let id = waiting.expect("a load makes the request wait");
            self.model.hold(&path);
            for hash in &path[found.coming..] {
                self.model.blocks.get_mut(hash).unwrap().loading = Some(id);
            }
            self.model.reserve(started as u64);
            self.model.transfers.insert(id, Held { path: path.clone(), reserved: 0 });
        }
        let loading = path.iter().any(|hash| self.model.blocks[hash].loading.is_some());
        assert_eq!(waiting.is_some(), loading, "waits for what is on the way, else not");
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
        assert_eq!(self.store.grow(&mut user.lease, total).is_ok(), room, "{blocks} blocks more");
        if room {
            self.model.reserve(u64::from(blocks));
            user.held.reserved += u64::from(blocks);
        }
    }

    fn commit(&mut self, user: usize, blocks: u32) {
        let user = &mut self.users[user];
        self.store.commit(&mut user.lease, blocks);
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
                user.waiting = user.waiting.filter(|&waits| waits != id);
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
        assert_eq!(set, self.model.contents(), "what is resident");
        let counts = [TierId::HBM, TierId::HOST].map(|tier| self.model.in_tier(tier));
        assert_eq!(self.store.blocks_by_tier()[..2], counts);
        let leases = self.users.len() + self.model.transfers.len();
        assert_eq!(self.store.leases(), leases as u64);
        self.follow_events();
    }

    /// The events alone must lead a router to the same contents.
    fn follow_events(&mut self) {
        self.seq += 1;
        let events = self.store.take_events();
        self.index.apply(&KvBatch { source: SOURCE, epoch: 0, seq: self.seq, events }).unwrap();
        self.index.check();
        assert_eq!(self.index.digest(SOURCE), self.store.digest(), "events against contents");
    }

    fn check_overlap(&self, prompt: &TokenBlocks) {
        let mut overlap = Overlap::default();
        self.index.overlap(prompt, &mut overlap);
        let found = self.model.find(prompt.chain(), prompt.reusable_blocks());
        let seen = overlap.get(SOURCE).map_or([0; 4], |entry| entry.by_tier);
        assert_eq!((seen[0] + seen[1]) as usize, found.all, "what a router expects to hit");
        assert_eq!(seen[0] as usize, found.hbm, "what a router expects in HBM");
    }

    /// All is given back, and then all of HBM can be had.
    fn drain(mut self) {
        while !self.users.is_empty() {
            self.release(0);
            self.check();
        }
        while let Some(ready) = self.store.next_ready() {
            self.pass(ready);
        }
        self.check();
        let all = self.model.capacity as u32;
        let size = self.profile.block_size;
        let alone =
            Arc::new(Chain::from_wire(size, 0, vec![BlockHash::from_wire(9); all as usize]));
        let (whole, cost) = (TokenBlocks::new(alone, 1), self.profile.prefill_cost());
        let Acquired::Ready { lease, .. } = self.store.acquire(self.now, &whole, 0, all, &cost)
        else {
            panic!("room for {all} blocks is gone")
        };
        self.store.release(lease);
        self.store.check();
    }
}

struct Shape {
    longest_blocks: u32,
    capacity: (u32, u32),
    host_capacity: (u32, u32),
    steps: u32,
}

fn random_walk(rng: &mut Rng, shape: &Shape) {
    let count = between(rng, 2, 7) as usize;
    let texts = Texts::random(rng, Form::Described, count, shape.longest_blocks);
    let capacity = u64::from(between(rng, shape.capacity.0, shape.capacity.1));
    let host_capacity = u64::from(between(rng, shape.host_capacity.0, shape.host_capacity.1));
    let loads = if chance(rng, 60) { Loads::Always } else { Loads::WhenCheaper };
    let mut pair = Pair::new(texts.block_size, capacity, host_capacity, loads);
    let (mut accepted, mut full) = (0, 0);
    for _ in 0..shape.steps {
        let user = (!pair.users.is_empty()).then(|| rng.below(pair.users.len() as u64) as usize);
        let ready = user.filter(|&user| pair.users[user].waiting.is_none());
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
    assert!(accepted + full > 0, "a walk that acquires nothing tests nothing");
    pair.drain();
}

#[test]
fn one_tier_keeps_what_a_block_by_block_lru_keeps() {
    let shape = Shape { longest_blocks: 10, capacity: (3, 30), host_capacity: (0, 0), steps: 120 };
    for_seeds(0..3_000, |rng| random_walk(rng, &shape));
}

#[test]
fn one_tier_agrees_on_texts_longer_than_an_anchor() {
    let shape =
        Shape { longest_blocks: 200, capacity: (150, 400), host_capacity: (0, 0), steps: 60 };
    for_seeds(1_000..1_150, |rng| random_walk(rng, &shape));
}

#[test]
fn two_tiers_keep_what_a_block_by_block_lru_keeps() {
    let shape = Shape { longest_blocks: 10, capacity: (3, 20), host_capacity: (1, 20), steps: 150 };
    for_seeds(2_000..6_000, |rng| random_walk(rng, &shape));
}

#[test]
fn two_tiers_agree_on_texts_longer_than_an_anchor() {
    let shape =
        Shape { longest_blocks: 200, capacity: (150, 300), host_capacity: (50, 300), steps: 80 };
    for_seeds(6_000..6_150, |rng| random_walk(rng, &shape));
}
