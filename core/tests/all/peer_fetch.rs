//! Fetches from pools and peers, with times computed by hand: fetches that arrive, that time out,
//! that fail, and blocks sent to peers.

use crate::common::{round_profile, work};
use warmpath_core::block::{BlockRun, Chain, ScopePlan, hash_segments};
use warmpath_core::engine::profile::{Fill, Loads, PeerLink, PoolLink, Profile};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::engine::store::{Fetch, Offer};
use warmpath_core::engine::{Engine, FetchError, Output};
use warmpath_core::id::{PoolId, SourceId, TransferId, WorkerId};
use warmpath_core::pool::{Pool, PoolOutput, PoolSpec};
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;
const POOL: SourceId = SourceId::Pool(PoolId(0));

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

fn scope() -> ScopePlan {
    ScopePlan::new("", "", "", 4)
}

fn text(tokens: u32) -> Vec<Segment> {
    vec![Segment::Text { seed: 1, tokens }]
}

/// Blocks of 4 tokens. A step takes 1 ms, and 10 µs more for each token above 100. Peers send a
/// token in 1 µs.
fn profile() -> Profile {
    let mut profile = round_profile(4);
    let (latency_us, timeout_ms) = (50.0, 30.0);
    let loads = Loads::WhenCheaper;
    profile.peers = Some(PeerLink { gb_s: 1.0, latency_us, loads, timeout_ms });
    let fill = Fill::WriteThrough;
    profile.pool = Some(PoolLink { gb_s: 1.0, latency_us, fill, loads, timeout_ms });
    profile
}

struct Bench {
    engine: Engine,
    out: Vec<Output>,
}

impl Bench {
    fn new(profile: Profile) -> Self {
        Self { engine: Engine::new(WorkerId(0), 1, profile), out: Vec::new() }
    }

    fn submit(&mut self, now: u64, id: u64, tokens: u32, offers: &[Offer]) {
        let work = work(id, &scope(), &text(tokens), 1);
        self.engine.submit_offered(at(now), work, offers).expect("a request that fits");
        self.run_until(now);
    }

    fn run_until(&mut self, until: u64) {
        while let Some(due) = self.engine.next_wake().filter(|&due| due <= at(until)) {
            self.engine.step(due, &mut self.out);
            self.engine.store().check();
        }
    }

    fn fetches(&self) -> Vec<Fetch> {
        let fetch = |output: &Output| match output {
            Output::Fetch { fetch, .. } => Some(fetch.clone()),
            _ => None,
        };
        self.out.iter().filter_map(fetch).collect()
    }

    fn answer(&mut self, now: u64, id: TransferId, result: Result<(), FetchError>) {
        self.run_until(now - 1);
        self.engine.on_transfer(at(now), id, result);
        self.engine.store().check();
        self.run_until(now);
    }

    /// The time of the first token, and the cached blocks of the prompt by origin.
    fn end(mut self, id: u64) -> (u64, [u32; 6]) {
        self.run_until(u64::MAX / 2);
        self.engine.check_at_rest();
        let mut end = (0, [0; 6]);
        for output in &self.out {
            match output {
                Output::FirstToken { id: who, at } if who.0 == id => end.0 = at.as_nanos(),
                Output::Finished { id: who, hit, .. } if who.0 == id => end.1 = *hit,
                _ => {}
            }
        }
        end
    }
}

/// An offer of the pool: 100 blocks take 400 µs at 1 µs a token, and 4 ms to compute.
fn offer(blocks: u32) -> Offer {
    Offer { from: POOL, blocks, ns_per_block: 4_000.0, latency_ns: 50_000.0, always: false }
}

#[test]
fn offered_blocks_are_fetched_if_that_is_faster() {
    let mut bench = Bench::new(profile());
    bench.submit(0, 1, 401, &[offer(100)]);
    let [fetch] = bench.fetches().try_into().expect("one fetch");
    assert_eq!((fetch.from, fetch.run.start, fetch.run.end), (POOL, 0, 100));
    // A second request with half of the prompt waits for the same transfer and starts none.
    bench.submit(MS / 10, 2, 201, &[offer(50)]);
    assert_eq!(bench.fetches().len(), 1);
    bench.answer(450 * US, fetch.id, Ok(()));
    assert_eq!(bench.engine.stats().fetched_blocks, 100);
    assert_eq!(bench.engine.stats().load_wait.as_nanos(), 450 * US + 350 * US);
    // Each computes one token, in one step of 1 ms.
    assert_eq!(bench.end(1), (1_450 * US, [0, 0, 0, 0, 100, 0]));
}

#[test]
fn blocks_that_take_longer_to_fetch_are_computed() {
    let mut bench = Bench::new(profile());
    let slow = Offer { ns_per_block: 50_000.0, ..offer(100) };
    bench.submit(0, 1, 401, &[slow]);
    assert_eq!(bench.fetches(), []);
    assert_eq!(bench.end(1), (4_010 * US, [0; 6]));
    // With `Loads::Always` they are fetched.
    let mut bench = Bench::new(profile());
    bench.submit(0, 1, 401, &[Offer { always: true, ..slow }]);
    assert_eq!(bench.fetches().len(), 1);
}

#[test]
fn the_longest_of_the_always_fetched_offers_is_used() {
    let always = |blocks| Offer { always: true, ..offer(blocks) };
    for offers in [[always(100), always(60)], [always(60), always(100)]] {
        let mut bench = Bench::new(profile());
        bench.submit(0, 1, 401, &offers);
        assert_eq!(bench.fetches()[0].run.end, 100);
    }
}

#[test]
fn a_fetch_starts_after_the_cached_blocks() {
    let mut bench = Bench::new(profile());
    bench.submit(0, 1, 200, &[]);
    bench.run_until(10 * MS);
    bench.submit(10 * MS, 2, 401, &[offer(80), offer(70)]);
    let [fetch] = bench.fetches().try_into().expect("one fetch");
    assert_eq!((fetch.run.start, fetch.run.end), (50, 80));
    bench.answer(11 * MS, fetch.id, Ok(()));
    // 81 tokens are left to compute.
    assert_eq!(bench.end(2), (12 * MS, [50, 0, 0, 0, 30, 0]));
}

#[test]
fn blocks_of_a_failed_fetch_are_computed() {
    for (error, when) in [(FetchError::Missing, 200 * US), (FetchError::Corrupt, MS)] {
        let mut bench = Bench::new(profile());
        bench.submit(0, 1, 401, &[offer(100)]);
        bench.submit(0, 2, 201, &[offer(50)]);
        let [fetch] = bench.fetches().try_into().expect("one fetch");
        bench.answer(when, fetch.id, Err(error));
        assert_eq!(bench.engine.stats().failed_fetches, 1);
        assert_eq!(bench.fetches().len(), 1, "the fetch is not repeated");
        // The second request shares the first one's blocks in the same step.
        assert_eq!(bench.end(1), (when + 4_020 * US, [0; 6]));
    }
}

#[test]
fn a_late_fetch_times_out() {
    let mut bench = Bench::new(profile());
    bench.submit(0, 1, 401, &[offer(100)]);
    let [fetch] = bench.fetches().try_into().expect("one fetch");
    bench.run_until(40 * MS);
    // Its blocks arrive after the timeout, and the engine ignores them.
    bench.answer(45 * MS, fetch.id, Ok(()));
    assert_eq!(bench.engine.stats().fetched_blocks, 0);
    assert_eq!(bench.end(1), (30 * MS + 4_010 * US, [0; 6]));
}

#[test]
fn a_fetch_continues_for_other_requests_after_a_cancel() {
    let mut bench = Bench::new(profile());
    bench.submit(0, 1, 401, &[offer(100)]);
    let [fetch] = bench.fetches().try_into().expect("one fetch");
    bench.engine.cancel(at(US), warmpath_core::id::RequestId(1));
    bench.answer(MS, fetch.id, Ok(()));
    assert_eq!(bench.engine.load_report().blocks_by_tier[0], 100);
    bench.engine.check_at_rest();
    bench.submit(2 * MS, 2, 401, &[offer(100)]);
    assert_eq!(bench.end(2), (3 * MS, [100, 0, 0, 0, 0, 0]));
}

#[test]
fn blocks_under_way_to_a_peer_can_not_be_evicted() {
    let mut sender = Bench::new(Profile { hbm_tokens: Some(404), ..profile() });
    sender.submit(0, 1, 400, &[]);
    sender.run_until(10 * MS);
    let chain: Chain = hash_segments(&scope(), &text(400));
    let run = |start, end| BlockRun { chain: chain.clone(), start, end };
    let key = |n| (WorkerId(7), TransferId(n));
    sender.engine.serve_fetch(at(10 * MS), key(0), &run(20, 70)).expect("the blocks are cached");
    sender.engine.serve_fetch(at(10 * MS), key(1), &run(0, 50)).expect("the blocks are cached");
    // Two transfers of 200 tokens at 1 µs share the link.
    sender.run_until(10 * MS + 400 * US);
    let served = |output: &Output| matches!(output, Output::FetchServed { at, .. } if at.as_nanos() == 10_400 * US);
    assert_eq!(sender.out.iter().filter(|output| served(output)).count(), 2);
    sender.engine.check_at_rest();
    // An evicted block is refused: another prompt takes 76 of the 101 blocks.
    let other = [Segment::Text { seed: 2, tokens: 300 }];
    sender.engine.submit(at(11 * MS), work(2, &scope(), &other, 1)).expect("a request that fits");
    sender.run_until(20 * MS);
    assert_eq!(
        sender.engine.serve_fetch(at(20 * MS), key(2), &run(0, 50)),
        Err(FetchError::Missing)
    );
    assert_eq!(sender.engine.serve_fetch(at(20 * MS), key(3), &run(0, 20)), Ok(()));
}

fn pool(tokens: u64) -> Pool {
    // 1,000 bytes a token: 1 µs a token out, and 2 µs in.
    let spec = PoolSpec {
        tokens,
        gb_s: 1.0,
        store_gb_s: 0.5,
        eviction: EvictionRule::Lru,
        tenant_quota: None,
    };
    Pool::new(PoolId(0), &spec, 4, 4_000.0, 1.0).expect("a valid pool")
}

fn step(pool: &mut Pool, until: u64) -> Vec<u64> {
    let mut out = Vec::new();
    while let Some(due) = pool.next_wake().filter(|&due| due <= at(until)) {
        pool.step(due, &mut out);
    }
    let sent = |output: &PoolOutput| match output {
        PoolOutput::Sent { at, .. } => Some(at.as_nanos()),
        PoolOutput::Kv { .. } => None,
    };
    out.iter().filter_map(sent).collect()
}

#[test]
fn a_pool_stores_a_block_once_and_its_users_share_its_link() {
    let mut pool = pool(1_000);
    let chain: Chain = hash_segments(&scope(), &text(400));
    let run = |start, end| BlockRun { chain: chain.clone(), start, end };
    let key = |n| (WorkerId(n), TransferId(0));
    pool.put(at(0), &run(0, 50));
    assert_eq!(pool.get(at(0), key(0), &run(0, 50)), Err(FetchError::Missing), "not stored yet");
    // 200 tokens at 2 µs.
    assert_eq!(pool.next_wake(), Some(at(400 * US)));
    step(&mut pool, MS);
    pool.put(at(MS), &run(0, 50));
    // A put of the end of a path also stores the missing blocks before it.
    pool.put(at(MS), &run(60, 75));
    step(&mut pool, 2 * MS);
    let stats = pool.stats();
    assert_eq!((stats.stored_blocks, stats.known_blocks, stats.missing), (75, 50, 1));
    pool.get(at(2 * MS), key(0), &run(0, 50)).expect("the blocks are stored");
    pool.get(at(2 * MS), key(1), &run(50, 75)).expect("the blocks are stored");
    assert_eq!(pool.ns_per_block(), 3.0 * 4_000.0, "a third fetch gets a third of the link");
    // 100 tokens at half the rate, then the last 100 of the other fetch at the full rate.
    assert_eq!(step(&mut pool, 3 * MS), [2 * MS + 200 * US, 2 * MS + 300 * US]);
    pool.check_at_rest();
}

#[test]
fn the_blocks_that_were_never_fetched_leave_a_full_pool_first() {
    let mut pool = pool(400);
    let chain = |seed| hash_segments(&scope(), &[Segment::Text { seed, tokens: 200 }]);
    let run = |seed| BlockRun { chain: chain(seed), start: 0, end: 50 };
    for seed in 1..=2 {
        pool.put(at(seed * MS), &run(seed));
    }
    step(&mut pool, 5 * MS);
    pool.get(at(5 * MS), (WorkerId(0), TransferId(0)), &run(1)).expect("the blocks are stored");
    step(&mut pool, 6 * MS);
    pool.put(at(6 * MS), &run(3));
    step(&mut pool, 9 * MS);
    let there = |seed| {
        pool.snapshot().runs.iter().any(|(_, held)| held.chain.hash(0) == chain(seed).hash(0))
    };
    assert_eq!([1, 2, 3].map(there), [true, false, true]);
}

/// The profile's links to pools and peers are checked like its other fields.
#[test]
fn a_link_out_of_range_is_rejected_by_name() {
    let link = PoolLink {
        gb_s: 0.0,
        latency_us: 1.0,
        fill: Fill::WriteThrough,
        loads: Loads::WhenCheaper,
        timeout_ms: 1.0,
    };
    let error = Profile { pool: Some(link), ..profile() }.check().expect_err("no bandwidth");
    assert_eq!(error.field, "pool.gb_s");
}
