//! Worlds whose workers share a pool and each other's memory.

use crate::common::{profile, scenario, spec, workload};
use warmpath_core::engine::EngineStats;
use warmpath_core::engine::profile::{Fill, Loads, PeerLink, PoolLink, Profile};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::pool::PoolSpec;
use warmpath_core::report::{Figures, Slo};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_sim::{Observers, Outcome, run};

fn pool_link(fill: Fill, timeout_ms: f64) -> PoolLink {
    PoolLink { gb_s: 25.0, latency_us: 300.0, fill, loads: Loads::WhenCheaper, timeout_ms }
}

fn peer_link(timeout_ms: f64) -> PeerLink {
    PeerLink { gb_s: 40.0, latency_us: 50.0, loads: Loads::WhenCheaper, timeout_ms }
}

fn pool_spec() -> PoolSpec {
    PoolSpec {
        tokens: 1_000_000,
        gb_s: 100.0,
        store_gb_s: 100.0,
        eviction: EvictionRule::Lru,
        tenant_quota: None,
    }
}

/// Sessions on four cramped workers, spread without regard to what each worker holds.
fn play(policy: PolicyConfig, change: impl Fn(&mut Profile)) -> (Figures, Outcome) {
    let mut profile = profile(16, Some(12_000));
    change(&mut profile);
    let workload = workload(&spec(600, Arrivals::Closed { sessions: 24 }), 16, 3);
    let mut scenario = scenario(4, policy, profile);
    scenario.pool = Some(pool_spec());
    let outcome = run(&scenario, workload, Observers::default()).expect("a world that can be");
    let figures = outcome.recorder.figures(16, 4, &Slo { ttft_s: 1.0, tpot_s: 0.1 });
    assert_eq!(figures.errors, 0, "a failing tier is a miss, never an error");
    let parts: f64 = figures.hit_rate_by_tier.expect("answers").iter().sum();
    assert!(
        (parts - figures.hit_rate.expect("answers")).abs() < 1e-9,
        "origins add up to the hit rate"
    );
    (figures, outcome)
}

fn total(outcome: &Outcome, of: fn(&EngineStats) -> u64) -> u64 {
    outcome.engines.iter().map(of).sum()
}

#[test]
fn a_pool_gives_every_worker_what_one_computed() {
    let (alone, _) = play(PolicyConfig::RoundRobin, |_| {});
    let (through, outcome) = play(PolicyConfig::RoundRobin, |profile| {
        profile.pool = Some(pool_link(Fill::WriteThrough, 500.0));
    });
    assert!(
        through.hit_rate.expect("answers") > alone.hit_rate.expect("answers") + 0.2,
        "{} {}",
        through.hit_rate.expect("answers"),
        alone.hit_rate.expect("answers")
    );
    assert!(through.ttft_s.expect("answers").mean < alone.ttft_s.expect("answers").mean);
    let pool = outcome.pool.expect("there is a pool");
    assert_eq!(total(&outcome, |engine| engine.fetched_blocks), pool.sent_blocks);
    assert_eq!(total(&outcome, |engine| engine.failed_fetches), pool.missing);
    let (spilled, _) = play(PolicyConfig::RoundRobin, |profile| {
        profile.pool = Some(pool_link(Fill::Spill, 500.0));
    });
    assert!(
        alone.hit_rate.expect("answers") < spilled.hit_rate.expect("answers")
            && spilled.hit_rate.expect("answers") < through.hit_rate.expect("answers")
    );
}

#[test]
fn peers_give_what_they_hold() {
    let (alone, _) = play(PolicyConfig::KvAware, |_| {});
    let (pulled, outcome) = play(PolicyConfig::KvAware, |profile| {
        profile.peers = Some(peer_link(500.0));
    });
    assert!(pulled.hit_rate_by_tier.expect("answers")[5] > 0.0, "something came from a peer");
    assert!(pulled.ttft_s.expect("answers").mean < alone.ttft_s.expect("answers").mean * 1.02);
    let fetched = total(&outcome, |engine| engine.fetched_blocks);
    let sent: u64 = outcome.peer_sends.iter().map(|sends| sends.blocks).sum();
    assert!(fetched > 0 && sent >= fetched, "{sent} sent and {fetched} fetched");
    // A link that is shared is busy for as long as its blocks would take one after the other.
    let mut profile = profile(16, None);
    profile.peers = Some(peer_link(500.0));
    for sends in &outcome.peer_sends {
        let alone = sends.blocks as f64 * profile.block_bytes() / 40.0;
        let busy = sends.sending.as_nanos() as f64;
        assert!((busy - alone).abs() <= alone * 0.001 + 1.0, "{busy} ns busy, {alone} of work");
    }
}

/// A pool so slow that nothing comes in time: all is computed, and nothing fails.
#[test]
fn a_pool_that_never_answers_in_time_costs_its_timeout() {
    let (figures, outcome) = play(PolicyConfig::RoundRobin, |profile| {
        let slow = PoolLink { loads: Loads::Always, ..pool_link(Fill::WriteThrough, 0.2) };
        profile.pool = Some(slow);
    });
    assert_eq!(figures.hit_rate_by_tier.expect("answers")[4], 0.0);
    assert!(total(&outcome, |engine| engine.failed_fetches) > 100);
}

#[test]
fn the_same_world_gives_the_same_figures() {
    let both = |profile: &mut Profile| {
        profile.pool = Some(pool_link(Fill::WriteThrough, 500.0));
        profile.peers = Some(peer_link(500.0));
        profile.eviction = EvictionRule::Arc;
    };
    let (first, second) = (play(PolicyConfig::KvAware, both), play(PolicyConfig::KvAware, both));
    assert_eq!(first.0, second.0);
    assert_eq!(first.1.engines, second.1.engines);
}
