//! An attacker knows every text of the other tenants and looks for its blocks: in a router's index, in
//! every tier of every worker, in the blocks that peers fetch, and in a pool. Meanwhile blocks are
//! evicted and workers restart. Of a million look-ups, none may find a block across a scope. Broken
//! caching would pass such a test, so each look-up without hits has a counterpart that must hit.

use crate::common::{Behind, between, chance, tiered};
use warmpath_core::block::{BlockHash, BlockRun, Chain, ScopePlan, TokenBlocks, hash_segments};
use warmpath_core::engine::profile::{Fill, Loads, Profile};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::engine::store::{Acquired, BlockStore};
use warmpath_core::event::{KvBatch, Snapshot};
use warmpath_core::hash::Map;
use warmpath_core::id::{PoolId, RequestId, SessionId, SourceId, TenantId, TransferId, WorkerId};
use warmpath_core::pool::{Pool, PoolOutput, PoolSpec};
use warmpath_core::rng::Rng;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::sharing::{Requester, Scopes, SharingRule, SharingScope, Tenants};
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

const SIZE: u32 = 4;
const TENANTS: u32 = 6;
const SESSIONS: u64 = 3;
const GROUPS: u32 = 2;
const WORKERS: usize = 2;
/// Blocks of the operator's system prompt, of a tenant's document, and of a session's own text.
const PARTS: [u32; 3] = [3, 5, 4];
const PUBLIC_TOKENS: u32 = PARTS[0] * SIZE;

/// The requests that share a scope: (tenant or group, session, request).
type Circle = (u32, u64, u64);

/// The text of a session. The attacker knows all of it; only the scope separates the tenants.
fn text(tenant: u32, session: u64) -> [Segment; 3] {
    let part = |seed, blocks| Segment::Text { seed, tokens: blocks * SIZE };
    let own = 1_000 + u64::from(tenant) * 100 + session;
    [part(1, PARTS[0]), part(100 + u64::from(tenant), PARTS[1]), part(own, PARTS[2])]
}

/// All places that keep or look up blocks.
struct Fleet {
    sharing: SharingRule,
    scopes: Scopes,
    profile: Profile,
    stores: Vec<BlockStore>,
    /// The epoch and the last batch of each worker.
    position: Vec<(u64, u64)>,
    pool: Pool,
    index: PrefixIndex,
    overlap: Overlap,
    now: Instant,
    requests: u64,
    fetches: u64,
}

impl Fleet {
    fn new(sharing: &str) -> Self {
        let sharing: SharingRule = sharing.parse().unwrap();
        let operator = ScopePlan::new("an operator", "m", "", SIZE);
        let behind: Behind = vec![(30, Fill::Spill), (80, Fill::WriteThrough)];
        let mut profile = tiered(SIZE, 40, &behind, Loads::Always);
        profile.tiers[0].eviction = EvictionRule::Arc;
        let (eviction, tokens) = (EvictionRule::Lru, 60 * u64::from(SIZE));
        let spec = PoolSpec { tokens, gb_s: 1.0, store_gb_s: 1e9, eviction, tenant_quota: None };
        let pool = Pool::new(PoolId(0), &spec, SIZE, 4_000.0, 1.0).unwrap();
        let mut fleet = Self {
            sharing,
            scopes: Scopes::new(&operator, sharing, Tenants::new(TENANTS, 0.0)),
            stores: Vec::new(),
            position: vec![(0, 0); WORKERS],
            index: PrefixIndex::default(),
            overlap: Overlap::default(),
            now: Instant::START,
            requests: 0,
            fetches: 0,
            profile,
            pool,
        };
        fleet.index.replace(&fleet.pool.snapshot()).unwrap();
        for worker in 0..WORKERS {
            fleet.stores.push(BlockStore::new(&fleet.profile));
            fleet.restart(worker);
        }
        fleet
    }

    /// Restarts a worker: its memory is empty, and the router gets a snapshot.
    fn restart(&mut self, worker: usize) {
        let source = source(worker);
        self.stores[worker] = BlockStore::new(&self.profile);
        let (epoch, _) = self.position[worker];
        self.position[worker] = (epoch + 1, 0);
        self.index.forget(source);
        let runs = Vec::new();
        self.index.replace(&Snapshot { source, epoch: epoch + 1, seq: 0, runs }).unwrap();
    }

    /// A new request of a random tenant. Clients choose their session ids, so two tenants may use the
    /// same one.
    fn new_request(&mut self, rng: &mut Rng) -> Requester {
        self.requests += 1;
        let tenant = TenantId(rng.below(u64::from(TENANTS)) as u32);
        let session = chance(rng, 95).then(|| SessionId(rng.below(SESSIONS)));
        Requester { tenant, session, request: RequestId(self.requests) }
    }

    /// The block hashes of a request's prompt.
    fn prompt(&self, whose: Requester, text: &[Segment]) -> TokenBlocks {
        TokenBlocks::whole(hash_segments(&self.scopes.plan(whose, PUBLIC_TOKENS), text))
    }

    /// The requests that share blocks with this one, worked out from the sharing rule.
    fn circle(&self, whose: Requester) -> Circle {
        let tenant = whose.tenant.0;
        let alone = (u32::MAX, 0, whose.request.0);
        match self.sharing.scope {
            SharingScope::None => alone,
            SharingScope::Session => whose.session.map_or(alone, |session| (tenant, session.0, 0)),
            SharingScope::Tenant => (tenant, 0, 0),
            SharingScope::Group => (tenant % GROUPS, 0, 0),
            SharingScope::All => (0, 0, 0),
        }
    }

    /// Runs a request on a worker from admission to end. Returns the blocks that it found.
    fn serve(&mut self, worker: usize, prompt: &TokenBlocks) -> u32 {
        let cost = self.profile.prefill_cost();
        let store = &mut self.stores[worker];
        let blocks = prompt.blocks();
        let acquired =
            store.acquire(self.now, prompt, prompt.reusable_blocks(), blocks + 1, &cost, &[]);
        let (mut lease, hit) = match acquired {
            Acquired::Ready { lease, hit } | Acquired::Waiting { lease, hit, .. } => (lease, hit),
            Acquired::NoRoom => panic!("no room although no other request runs"),
        };
        while let Some(ready) = store.next_ready() {
            self.now = self.now.max(ready);
            while store.finish_load(ready).is_some() {}
        }
        store.commit(self.now, &mut lease, blocks);
        store.release(lease);
        let chain = prompt.chain().clone();
        self.pool.put(self.now, &BlockRun { chain, start: 0, end: blocks });
        self.settle(worker);
        hit.iter().sum()
    }

    /// Completes writes, and sends all changes to the router.
    fn settle(&mut self, worker: usize) {
        self.now = Instant::from_nanos(self.now.as_nanos() + 10_000_000);
        let mut out = Vec::new();
        self.pool.step(self.now, &mut out);
        for output in out {
            if let PoolOutput::Kv { batch, .. } = output {
                self.index.apply(&batch).unwrap();
            }
        }
        let (epoch, seq) = &mut self.position[worker];
        *seq += 1;
        let events = self.stores[worker].take_events();
        let batch = KvBatch { source: source(worker), epoch: *epoch, seq: *seq, events };
        self.index.apply(&batch).unwrap();
    }

    /// The most blocks of a prompt found in each place: the router's index, the workers (own tiers and
    /// fetches of peers), the pool.
    fn look_up(&mut self, prompt: &TokenBlocks) -> [u32; 3] {
        let chain = prompt.chain();
        let run = |end| BlockRun { chain: chain.clone(), start: 0, end };
        self.index.overlap(prompt, &mut self.overlap);
        let routed = self.overlap.entries().iter().map(|entry| entry.blocks()).max().unwrap_or(0);
        let mut held = 0;
        for store in &mut self.stores {
            held = held.max(store.present(&run(prompt.blocks())));
            // A peer may also send the first block.
            if let Some(lease) = store.lease_run(&run(1)) {
                store.release(lease);
                held = held.max(1);
            }
        }
        let pooled = self.pool.holds(prompt);
        self.fetches += 1;
        let key = (WorkerId(9), TransferId(self.fetches));
        let sent = self.pool.get(self.now, key, &run(1)).is_ok();
        [routed, held, pooled.max(u32::from(sent))]
    }
}

fn source(worker: usize) -> SourceId {
    SourceId::Worker(WorkerId(worker as u32))
}

/// A text of an attacker that knows the victim's text: all of it, a part, or a part with other text
/// after it.
fn guess(rng: &mut Rng, victim: &[Segment; 3]) -> Vec<Segment> {
    let keep = 1 + rng.below(3) as usize;
    let mut text = victim[..keep].to_vec();
    let Segment::Text { seed, tokens } = text[keep - 1] else { unreachable!("a text segment") };
    if chance(rng, 50) {
        text[keep - 1] = Segment::Text { seed, tokens: between(rng, SIZE, tokens) };
    }
    if chance(rng, 50) {
        text.push(Segment::Text { seed: rng.below(4), tokens: between(rng, 1, 20) });
    }
    text
}

/// The blocks of all requests so far, hashed without scopes. Nothing is ever evicted here.
#[derive(Default)]
struct History {
    /// By the circle of the request.
    within: Map<(Circle, BlockHash), ()>,
    anywhere: Map<BlockHash, ()>,
}

impl History {
    fn add(&mut self, circle: Circle, words: &[Segment]) {
        let chain = plain(words);
        for name in (0..chain.blocks()).map(|block| chain.hash(block)) {
            self.within.insert((circle, name), ());
            self.anywhere.insert(name, ());
        }
    }

    /// The blocks of a text that requests of the circle had, and those that any request had.
    fn known(&self, circle: Circle, words: &[Segment]) -> (u32, u32) {
        let chain = plain(words);
        let until = |is_known: &dyn Fn(BlockHash) -> bool| {
            (0..chain.blocks()).take_while(|&block| is_known(chain.hash(block))).count() as u32
        };
        let within = until(&|name| self.within.contains_key(&(circle, name)));
        (within, until(&|name| self.anywhere.contains_key(&name)))
    }
}

fn plain(words: &[Segment]) -> Chain {
    hash_segments(&ScopePlan::new("", "", "", SIZE), words)
}

/// The look-ups of a run. Places are the router's index, the workers and the pool.
#[derive(Default, Debug)]
struct Tally {
    /// Look-ups of a text that only requests of other circles had.
    across: u64,
    /// Look-ups that found more than the circle of the asker ever had, by place.
    leaks: [u64; 3],
    /// Blocks that the circle of the asker had.
    within: u64,
    /// Of those, the blocks found, by place.
    found: [u64; 3],
    /// Look-ups that found public blocks of a text that the circle of the asker never had.
    public: u64,
}

/// Runs requests with evictions and restarts, and looks up texts of all tenants all the time.
fn attack(sharing: &str, seed: u64, look_ups: u64) -> Tally {
    let mut rng = Rng::named(seed, &[]);
    let mut fleet = Fleet::new(sharing);
    let mut history = History::default();
    let mut tally = Tally::default();
    let public = if fleet.sharing.public_prefixes { PARTS[0] } else { 0 };
    for i in 0..look_ups {
        if i % 100 == 0 {
            serve_request(&mut fleet, &mut history, &mut rng);
        }
        let asker = fleet.new_request(&mut rng);
        let victim = text(rng.below(u64::from(TENANTS)) as u32, rng.below(SESSIONS));
        let words = guess(&mut rng, &victim);
        let (within, anywhere) = history.known(fleet.circle(asker), &words);
        let allowed = within.max(anywhere.min(public));
        let prompt = fleet.prompt(asker, &words);
        let found = fleet.look_up(&prompt);
        for (leaks, found) in tally.leaks.iter_mut().zip(found) {
            *leaks += u64::from(found > allowed);
        }
        tally.across += u64::from(anywhere > allowed);
        tally.within += u64::from(within);
        tally.public += u64::from(within == 0 && found[0] > 0);
        for (blocks, found) in tally.found.iter_mut().zip(found) {
            *blocks += u64::from(found.min(within));
        }
    }
    fleet.stores.iter().for_each(BlockStore::check);
    tally
}

/// Runs a request. From then on its circle finds its blocks.
fn serve_request(fleet: &mut Fleet, history: &mut History, rng: &mut Rng) {
    let asker = fleet.new_request(rng);
    let words = text(asker.tenant.0, rng.below(SESSIONS));
    let worker = rng.below(WORKERS as u64) as usize;
    let (within, anywhere) = history.known(fleet.circle(asker), &words);
    let public = if fleet.sharing.public_prefixes { PARTS[0] } else { 0 };
    let prompt = fleet.prompt(asker, &words);
    let hit = fleet.serve(worker, &prompt);
    assert!(hit <= within.max(anywhere.min(public)), "admitted with blocks of another scope");
    history.add(fleet.circle(asker), &words);
    // The last token of a prompt is always computed, so a router does not count its block.
    let all: u32 = PARTS.iter().sum();
    let [routed, held, _] = fleet.look_up(&prompt);
    assert_eq!((routed, held), (all - 1, all), "{}: a request just served", fleet.sharing);
    assert_eq!(fleet.look_up(&tampered(rng, &prompt)), [0; 3], "a hash with one wrong bit");
    if chance(rng, 3) {
        fleet.restart(rng.below(WORKERS as u64) as usize);
    }
}

/// The hashes of a prompt, with one wrong bit in the first.
fn tampered(rng: &mut Rng, prompt: &TokenBlocks) -> TokenBlocks {
    let mut names: Vec<BlockHash> =
        (0..prompt.blocks()).map(|block| prompt.chain().hash(block)).collect();
    names[0] = BlockHash::from_wire(names[0].to_wire() ^ (1 << rng.below(128)));
    TokenBlocks::whole(Chain::from_wire(SIZE, 0, names))
}

#[test]
fn a_million_look_ups_find_nothing_across_a_scope() {
    let mut across = 0;
    for (seed, scope) in (0..).zip(["none", "session", "tenant", "group:2"]) {
        for public in ["", "+public"] {
            let tally = attack(&format!("{scope}{public}"), seed, 225_000);
            assert_eq!(tally.leaks, [0; 3], "{scope}{public}: {tally:?}");
            across += tally.across;
            assert_eq!(tally.public > 0, !public.is_empty(), "{scope}{public}: {tally:?}");
            // With the scope `none` no request asks twice. Otherwise requests find their own blocks.
            assert_eq!(tally.within > 0, scope != "none", "{scope}{public}: {tally:?}");
            let enough = |blocks: &u64| *blocks * 3 >= tally.within;
            assert!(tally.found.iter().all(enough), "{scope}{public}: {tally:?}");
        }
    }
    assert!(across >= 1_000_000, "only {across} look-ups of other circles' texts");
}

/// The same look-ups where all requests may share. They hit in every place.
#[test]
fn the_same_look_ups_hit_where_sharing_is_allowed() {
    let apart = attack("tenant", 2, 50_000);
    let together = attack("all", 2, 50_000);
    assert_eq!((together.across, together.leaks), (0, [0; 3]));
    assert!(
        apart.across > 20_000 && together.within * 2 > apart.within * 3,
        "{apart:?} {together:?}"
    );
    for (together, apart) in together.found.iter().zip(apart.found) {
        assert!(together * 4 > apart * 5, "{together} blocks found, {apart} with tenants apart");
    }
}
