//! Two worlds that differ in nothing but a victim's words must look the same to all others, to the
//! nanosecond: what an attacker can see of his own requests says nothing of what the victim said.
//! Stronger than any statistics over timings, and without noise.

use crate::common::{host, profile, scenario};
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::{Fill, Loads, PeerLink, PoolLink};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::id::TenantId;
use warmpath_core::pool::PoolSpec;
use warmpath_core::report::Row;
use warmpath_core::rng::{Rng, hash_words};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::{Scopes, SharingRule, Tenants};
use warmpath_core::tokens::Segment;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::{Pace, TimedReplay, TimedRequest, Trace};
use warmpath_sim::{Observers, run};

const SIZE: u32 = 16;
const VICTIM: TenantId = TenantId(0);
const REQUESTS: u64 = 120;
/// Rules that choose a worker by a hash of a prompt's start, as their authors deploy them. What one tenant
/// says decides which worker is busy, and so where the requests of another wait.
const BY_WORDS: [PolicyConfig; 2] = [PolicyConfig::Chwbl, PolicyConfig::DualMap];

/// What the attacker sees when the victim's words are made from `secret`. His own guesses are the
/// victim's words of secret 0.
fn seen(seed: u64, sharing: &str, secret: u64) -> Vec<Row> {
    let sharing: SharingRule = sharing.parse().expect("a scope");
    let operator = ScopePlan::new("", "m", "", SIZE);
    let scopes = Scopes::new(&operator, sharing, Tenants::new(2, 0.0));
    let mut rng = Rng::named(seed, &[]);
    let mut at_ms = 0;
    let request = |id| {
        at_ms += rng.below(60);
        // A trace assigns requests without a session to tenants by their place.
        let is_victims = scopes.tenants().deal(&[0, id]) == VICTIM;
        let text = hash_words(&[seed, rng.below(8), if is_victims { secret } else { 0 }]);
        let tokens = 64 + 16 * rng.below(40) as u32;
        let system = Segment::Text { seed: 1, tokens: 48 };
        let prompt = vec![system, Segment::Text { seed: text, tokens }];
        TimedRequest { at_ms, prompt, output_tokens: 1 + rng.below(30) as u32 }
    };
    let recorded: Vec<TimedRequest> = (0..REQUESTS).map(request).collect();
    let trace = Arc::new(Trace::new(recorded, &scopes));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed, limit: None };
    let mut profile = profile(SIZE, Some(4_000));
    profile.tiers = vec![host(6_000, Loads::WhenCheaper)];
    let (latency_us, timeout_ms, loads) = (300.0, 500.0, Loads::WhenCheaper);
    let fill = if seed.is_multiple_of(2) { Fill::WriteThrough } else { Fill::Spill };
    profile.pool = Some(PoolLink { gb_s: 25.0, latency_us, fill, loads, timeout_ms });
    profile.peers = Some(PeerLink { gb_s: 40.0, latency_us: 50.0, loads, timeout_ms });
    if seed.is_multiple_of(3) {
        profile.eviction = EvictionRule::Arc;
    }
    let policies: Vec<PolicyConfig> =
        PolicyConfig::ALL.iter().copied().filter(|policy| !BY_WORDS.contains(policy)).collect();
    let policy = policies[seed as usize % policies.len()];
    let mut scenario = scenario(3, policy, profile);
    let eviction = EvictionRule::Lru;
    scenario.pool = Some(PoolSpec {
        tokens: 20_000,
        gb_s: 50.0,
        store_gb_s: 50.0,
        eviction,
        tenant_quota: None,
    });
    let observers = Observers { rows: true, ..Observers::default() };
    let workload = Workload::Trace(TimedReplay::new(trace, pace));
    let mut outcome = run(&scenario, workload, observers).expect("a world that can be");
    let mut rows = outcome.recorder.take_rows();
    assert_eq!(rows.len() as u64, REQUESTS);
    rows.retain(|row| row.tenant != VICTIM);
    rows
}

fn hits(rows: &[Row]) -> u32 {
    rows.iter().filter_map(|row| row.cached).map(|cached| cached.tokens).sum()
}

#[test]
fn a_victims_words_change_nothing_that_another_tenant_sees() {
    for sharing in ["none", "tenant", "group:2"] {
        for seed in 0..120 {
            let (guessed, other) = (seen(seed, sharing, 0), seen(seed, sharing, 1));
            assert!(guessed.len() > 30 && guessed == other, "{sharing}, seed {seed}");
            assert_eq!(hits(&guessed) > 0, sharing != "none", "{sharing}, seed {seed}");
        }
    }
}

/// The same two worlds where all share: a right guess shows, so the test above looks closely enough.
#[test]
fn a_right_guess_shows_if_all_tenants_share() {
    for seed in 0..120 {
        let (guessed, other) = (seen(seed, "all", 0), seen(seed, "all", 1));
        assert!(guessed != other && hits(&guessed) > hits(&other), "seed {seed}");
    }
}
