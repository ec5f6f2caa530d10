//! Tenants' quotas in a pool: blocks within a tenant's quota stay, whatever other tenants put.

use std::collections::BTreeMap;
use warmpath_core::block::{BlockRun, ScopePlan, hash_segments};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::id::{PoolId, TenantId, TransferId, WorkerId};
use warmpath_core::pool::{Pool, PoolOutput, PoolSpec};
use warmpath_core::request::Owner;
use warmpath_core::rng::Rng;
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

const SIZE: u32 = 4;
const ROOM: u64 = 200;
const VICTIM: TenantId = TenantId(0);
const FLOOD: TenantId = TenantId(1);
/// Public blocks at the start of every text.
const PUBLIC: u32 = 3;

fn spec(eviction: EvictionRule, tenant_quota: Option<f64>) -> PoolSpec {
    let tokens = ROOM * u64::from(SIZE);
    PoolSpec { tokens, gb_s: 1.0, store_gb_s: 1e9, eviction, tenant_quota }
}

/// The public blocks, then `blocks` blocks of the tenant.
fn text(tenant: TenantId, seed: u64, blocks: u32) -> BlockRun {
    let operator = ScopePlan::new("an operator", "m", "", SIZE);
    let own = operator.within("tenant", u64::from(tenant.0));
    let plan = own.behind(&operator.within("public", 0), PUBLIC * SIZE);
    let part = |seed, blocks| Segment::Text { seed, tokens: blocks * SIZE };
    let chain = hash_segments(&plan, &[part(1, PUBLIC), part(1_000 + seed, blocks)]);
    BlockRun { start: 0, end: chain.blocks(), chain }
}

struct Bench {
    pool: Pool,
    ms: u64,
    fetches: u64,
}

impl Bench {
    fn new(spec: &PoolSpec) -> Self {
        let pool = Pool::new(PoolId(0), spec, SIZE, 4_000.0, 1.0).expect("a valid pool");
        Self { pool, ms: 0, fetches: 0 }
    }

    fn put(&mut self, tenant: TenantId, run: &BlockRun) {
        let owner = Owner { tenant, public_blocks: PUBLIC };
        self.pool.put_of(Instant::from_nanos(self.ms * 1_000_000), run, Some(owner));
        self.step(1);
    }

    /// Fetches the stored blocks of a text.
    fn get(&mut self, run: &BlockRun) {
        let end = self.pool.present(run);
        if end > 0 {
            self.fetches += 1;
            let (key, run) = (
                (WorkerId(0), TransferId(self.fetches)),
                BlockRun { start: 0, end, ..run.clone() },
            );
            let now = Instant::from_nanos(self.ms * 1_000_000);
            self.pool.get(now, key, &run).expect("the blocks are stored");
        }
    }

    fn step(&mut self, ms: u64) {
        self.ms += ms;
        let mut out: Vec<PoolOutput> = Vec::new();
        self.pool.step(Instant::from_nanos(self.ms * 1_000_000), &mut out);
    }

    fn of(&self, tenant: TenantId) -> u64 {
        self.pool.blocks_by_tenant().get(&tenant).copied().unwrap_or(0)
    }
}

/// Floods the pool after a victim has put `has` blocks in texts of 20. Returns how many it had, and
/// how many stay.
fn flooded(seed: u64, quota: Option<f64>) -> (u64, u64) {
    let rule = if seed.is_multiple_of(2) { EvictionRule::Lru } else { EvictionRule::Arc };
    let mut bench = Bench::new(&spec(rule, quota));
    let mut rng = Rng::named(seed, &[0x51]);
    let texts: Vec<BlockRun> = (0..1 + rng.below(4)).map(|i| text(VICTIM, i, 20)).collect();
    texts.iter().for_each(|text| bench.put(VICTIM, text));
    let mut floods: Vec<BlockRun> = Vec::new();
    for i in 0..150 {
        let flood = match floods.len() as u64 {
            // The same text again, or only its end.
            known if known > 0 && rng.below(4) == 0 => {
                let old = floods[rng.below(known) as usize].clone();
                BlockRun { start: rng.below(u64::from(old.end)) as u32, ..old }
            }
            _ => text(FLOOD, i, 1 + rng.below(300) as u32),
        };
        bench.put(FLOOD, &flood);
        if rng.below(3) == 0 {
            bench.get(&flood);
        }
        floods.push(flood);
    }
    bench.step(10_000);
    bench.pool.check_at_rest();
    let there = texts.iter().map(|text| u64::from(bench.pool.present(text).max(PUBLIC) - PUBLIC));
    let there = there.sum();
    if quota.is_some() {
        assert_eq!(bench.of(VICTIM), there, "seed {seed}");
        assert!(bench.pool.blocks() > ROOM * 4 / 5 - 20, "seed {seed}: room is unused");
    }
    (20 * texts.len() as u64, there)
}

/// Two quotas of 0.48 and three public blocks fit the room.
#[test]
fn blocks_within_a_tenants_quota_stay() {
    let mut flushed = 0;
    for seed in 0..200 {
        let (had, has) = flooded(seed, Some(0.48));
        assert_eq!(had, has, "seed {seed}");
        let (had, has) = flooded(seed, None);
        flushed += u32::from(has < had / 2);
    }
    assert!(flushed > 150, "without a quota only {flushed} of 200 victims lost blocks");
}

/// A tenant can use free room beyond its quota, and loses it when others need it.
#[test]
fn the_tenant_with_the_largest_excess_gives_the_room() {
    let mut bench = Bench::new(&spec(EvictionRule::Lru, Some(0.25)));
    let (two, three) = (TenantId(2), TenantId(3));
    for i in 0..12 {
        bench.put(FLOOD, &text(FLOOD, i, 10));
    }
    for i in 0..7 {
        bench.put(two, &text(two, i, 10));
    }
    let of = |bench: &Bench| [FLOOD, two, three].map(|tenant| bench.of(tenant));
    assert_eq!(of(&bench), [120, 70, 0], "more than the quota of 50 in a pool with free room");
    // 7 blocks are free, with the public ones stored; the other 43 come from the largest excess.
    bench.put(three, &text(three, 0, 50));
    assert_eq!(of(&bench), [77, 70, 50]);
    let oldest = |i| bench.pool.present(&text(FLOOD, i, 10)) - PUBLIC;
    assert_eq!([0, 3, 4, 5].map(oldest), [0, 0, 7, 10], "least recently used first");
    // 10 more put the third tenant above its quota, but another has a larger excess.
    bench.put(three, &text(three, 1, 10));
    assert_eq!(of(&bench), [67, 70, 60]);
    // 60 more give it the largest excess: it loses its own blocks, down to the others' excess.
    bench.put(three, &text(three, 2, 60));
    let counts = of(&bench);
    assert_eq!(counts.iter().sum::<u64>(), ROOM - u64::from(PUBLIC));
    assert!(counts[2] <= 70 && counts[0] >= 50 && counts[1] >= 50, "{counts:?}");
}

/// A tenant gets more than its quota while room is free. It gets only its quota if the rest of the
/// pool can't be evicted for it.
#[test]
fn a_put_is_cut_to_the_quota_if_no_other_tenant_has_an_excess() {
    let mut bench = Bench::new(&spec(EvictionRule::Lru, Some(0.25)));
    let public = text(TenantId(9), 0, 190);
    bench.pool.put(Instant::from_nanos(0), &public);
    bench.step(1);
    assert_eq!(bench.pool.blocks(), 193);
    bench.put(FLOOD, &text(FLOOD, 0, 120));
    assert_eq!((bench.of(FLOOD), bench.pool.blocks()), (50, ROOM));
    assert_eq!(bench.pool.stats().refused_blocks, 70);
    let all: BTreeMap<TenantId, u64> = bench.pool.blocks_by_tenant();
    assert_eq!(all.len(), 1, "blocks put without an owner belong to no tenant");
    bench.pool.check_at_rest();
}

#[test]
fn a_quota_out_of_range_is_rejected_by_name() {
    for share in [0.0, -0.5, 1.5, f64::NAN, f64::INFINITY, 1e-9] {
        let error = spec(EvictionRule::Lru, Some(share)).check(SIZE).expect_err("no such share");
        assert_eq!(error.field, "tenant_quota");
        assert!(error.why.contains("expected"), "{error}");
    }
    spec(EvictionRule::Lru, Some(1.0)).check(SIZE).expect("a quota of the whole pool");
}
