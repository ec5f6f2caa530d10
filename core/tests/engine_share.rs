//! Blocks from others, with times worked by hand: fetches that come, that are late, that fail, and
//! blocks that are lent.

mod common;

use common::{round_profile, work};
use std::sync::Arc;
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

/// Blocks of 4 tokens; a step of 1 ms, and 10 µs a token above a hundred. Peers send a token in 1 µs.
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
        self.engine.submit_offered(at(now), work, offers).expect("it fits");
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

    /// When the first token came and how much of the prompt was found, by origin.
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

/// 100 blocks from the pool: 400 µs at 1 µs a token, against 4 ms to compute them.
fn offer(blocks: u32) -> Offer {
    Offer { from: POOL, blocks, ns_per_block: 4_000.0, latency_ns: 50_000.0, always: false }
}

#[test]
fn what_others_have_is_fetched_where_that_is_faster() {
    let mut bench = Bench::new(profile());
    bench.submit(0, 1, 401, &[offer(100)]);
    let [fetch] = bench.fetches().try_into().expect("one fetch");
    assert_eq!((fetch.from, fetch.run.start, fetch.run.end), (POOL, 0, 100));
    // Another that shares half of it waits for the same transfer, and asks for nothing.
    bench.submit(MS / 10, 2, 201, &[offer(50)]);
    assert_eq!(bench.fetches().len(), 1);
    bench.answer(450 * US, fetch.id, Ok(()));
    assert_eq!(bench.engine.stats().fetched_blocks, 100);
    assert_eq!(bench.engine.stats().load_wait.as_nanos(), 450 * US + 350 * US);
    // One token each in one step of 1 ms.
    assert_eq!(bench.end(1), (1_450 * US, [0, 0, 0, 0, 100, 0]));
}

#[test]
fn what_takes_longer_to_fetch_is_computed() {
    let mut bench = Bench::new(profile());
    let slow = Offer { ns_per_block: 50_000.0, ..offer(100) };
    bench.submit(0, 1, 401, &[slow]);
    assert_eq!(bench.fetches(), []);
    assert_eq!(bench.end(1), (4_010 * US, [0; 6]));
    // Unless it is to be fetched always.
    let mut bench = Bench::new(profile());
    bench.submit(0, 1, 401, &[Offer { always: true, ..slow }]);
    assert_eq!(bench.fetches().len(), 1);
}

#[test]
fn of_what_is_always_fetched_the_most_is() {
    let always = |blocks| Offer { always: true, ..offer(blocks) };
    for offers in [[always(100), always(60)], [always(60), always(100)]] {
        let mut bench = Bench::new(profile());
        bench.submit(0, 1, 401, &offers);
        assert_eq!(bench.fetches()[0].run.end, 100);
    }
}

#[test]
fn a_fetch_goes_on_where_the_own_blocks_end() {
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
fn what_does_not_come_is_computed() {
    for (error, when) in [(FetchError::Missing, 200 * US), (FetchError::Corrupt, MS)] {
        let mut bench = Bench::new(profile());
        bench.submit(0, 1, 401, &[offer(100)]);
        bench.submit(0, 2, 201, &[offer(50)]);
        let [fetch] = bench.fetches().try_into().expect("one fetch");
        bench.answer(when, fetch.id, Err(error));
        assert_eq!(bench.engine.stats().failed_fetches, 1);
        assert_eq!(bench.fetches().len(), 1, "it is not asked again");
        // The second one's blocks are the first one's, in the same step.
        assert_eq!(bench.end(1), (when + 4_020 * US, [0; 6]));
    }
}

#[test]
fn what_is_late_is_given_up() {
    let mut bench = Bench::new(profile());
    bench.submit(0, 1, 401, &[offer(100)]);
    let [fetch] = bench.fetches().try_into().expect("one fetch");
    bench.run_until(40 * MS);
    // It comes all the same, and nobody minds.
    bench.answer(45 * MS, fetch.id, Ok(()));
    assert_eq!(bench.engine.stats().fetched_blocks, 0);
    assert_eq!(bench.end(1), (30 * MS + 4_010 * US, [0; 6]));
}

#[test]
fn a_cancelled_request_leaves_its_fetch_to_others() {
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
fn blocks_are_held_while_they_are_lent() {
    let mut lender = Bench::new(Profile { hbm_tokens: Some(404), ..profile() });
    lender.submit(0, 1, 400, &[]);
    lender.run_until(10 * MS);
    let chain: Arc<Chain> = Arc::new(hash_segments(&scope(), &text(400)));
    let run = |start, end| BlockRun { chain: Arc::clone(&chain), start, end };
    let key = |n| (WorkerId(7), TransferId(n));
    lender.engine.lend(at(10 * MS), key(0), &run(20, 70)).expect("they are there");
    lender.engine.lend(at(10 * MS), key(1), &run(0, 50)).expect("they are there");
    // Two times 200 tokens at 1 µs share the way out.
    lender.run_until(10 * MS + 400 * US);
    let lent =
        |output: &Output| matches!(output, Output::Lent { at, .. } if at.as_nanos() == 10_400 * US);
    assert_eq!(lender.out.iter().filter(|output| lent(output)).count(), 2);
    lender.engine.check_at_rest();
    // What was pushed out meanwhile is refused: another prompt takes 76 blocks of the 101.
    let other = [Segment::Text { seed: 2, tokens: 300 }];
    lender.engine.submit(at(11 * MS), work(2, &scope(), &other, 1)).expect("it fits");
    lender.run_until(20 * MS);
    assert_eq!(lender.engine.lend(at(20 * MS), key(2), &run(0, 50)), Err(FetchError::Missing));
    assert_eq!(lender.engine.lend(at(20 * MS), key(3), &run(0, 20)), Ok(()));
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
    Pool::new(PoolId(0), &spec, 4, 4_000.0, 1.0).expect("a pool that can be")
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
fn a_pool_stores_once_and_shares_its_way_out() {
    let mut pool = pool(1_000);
    let chain: Arc<Chain> = Arc::new(hash_segments(&scope(), &text(400)));
    let run = |start, end| BlockRun { chain: Arc::clone(&chain), start, end };
    let key = |n| (WorkerId(n), TransferId(0));
    pool.put(at(0), &run(0, 50));
    assert_eq!(pool.get(at(0), key(0), &run(0, 50)), Err(FetchError::Missing), "not yet there");
    // 200 tokens at 2 µs.
    assert_eq!(pool.next_wake(), Some(at(400 * US)));
    step(&mut pool, MS);
    pool.put(at(MS), &run(0, 50));
    // The end of a path brings what is missing before it.
    pool.put(at(MS), &run(60, 75));
    step(&mut pool, 2 * MS);
    let stats = pool.stats();
    assert_eq!((stats.stored_blocks, stats.known_blocks, stats.missing), (75, 50, 1));
    pool.get(at(2 * MS), key(0), &run(0, 50)).expect("it is there");
    pool.get(at(2 * MS), key(1), &run(50, 75)).expect("it is there");
    assert_eq!(pool.ns_per_block(), 3.0 * 4_000.0, "a third of the way for a third");
    // 100 tokens at half the rate, then the last 100 of the other at the whole.
    assert_eq!(step(&mut pool, 3 * MS), [2 * MS + 200 * US, 2 * MS + 300 * US]);
    pool.check_at_rest();
}

#[test]
fn what_nobody_asked_for_leaves_a_full_pool_first() {
    let mut pool = pool(400);
    let chain = |seed| Arc::new(hash_segments(&scope(), &[Segment::Text { seed, tokens: 200 }]));
    let run = |seed| BlockRun { chain: chain(seed), start: 0, end: 50 };
    for seed in 1..=2 {
        pool.put(at(seed * MS), &run(seed));
    }
    step(&mut pool, 5 * MS);
    pool.get(at(5 * MS), (WorkerId(0), TransferId(0)), &run(1)).expect("it is there");
    step(&mut pool, 6 * MS);
    pool.put(at(6 * MS), &run(3));
    step(&mut pool, 9 * MS);
    let there = |seed| {
        pool.snapshot().runs.iter().any(|(_, held)| held.chain.hash(0) == chain(seed).hash(0))
    };
    assert_eq!([1, 2, 3].map(there), [true, false, true]);
}

/// What a profile must say of a pool is checked like the rest of it.
#[test]
fn ways_that_can_not_be_are_named() {
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
