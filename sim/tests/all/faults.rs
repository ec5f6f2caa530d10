//! Worlds whose pool fails: that is a miss and never an error, and costs at most a bounded wait.

use crate::common::{profile, scenario, spec, workload};
use warmpath_core::engine::profile::{Fill, Loads, PoolLink};
use warmpath_core::report::{Figures, Row, Slo};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_sim::{Fault, FaultKind, Observers, Outcome, RunError, Scenario, run};

const TIMEOUT_S: f64 = 0.5;

struct Played {
    figures: Figures,
    rows: Vec<Row>,
    outcome: Outcome,
}

fn fault(at_s: f64, for_s: f64, kind: FaultKind) -> Fault {
    Fault { at_s, for_s, kind, worker: None, factor: None, share: None }
}

fn world(policy: PolicyConfig, loads: Loads, faults: &[Fault]) -> Scenario {
    let mut profile = profile(16, Some(12_000));
    let (fill, timeout_ms) = (Fill::WriteThrough, TIMEOUT_S * 1e3);
    profile.pool = Some(PoolLink { gb_s: 25.0, latency_us: 300.0, fill, loads, timeout_ms });
    let mut scenario = scenario(4, policy, profile);
    scenario.pool = Some(crate::common::pool());
    scenario.faults = faults.to_vec();
    scenario
}

fn play(scenario: &Scenario, sessions: u32) -> Played {
    let requests = if sessions == 1 { 150 } else { 600 };
    let workload = workload(&spec(requests, Arrivals::Closed { sessions }), 16, 3);
    let observers = Observers { rows: true, ..Observers::default() };
    let mut outcome = run(scenario, workload, observers).expect("a world that can be");
    let figures = outcome.recorder.figures(16, 4, &Slo { ttft_s: 1.0, tpot_s: 0.1 });
    assert_eq!(figures.errors, 0, "a failing pool is a miss, never an error");
    let failed: u64 = outcome.engines.iter().map(|engine| engine.failed_fetches).sum();
    let by = outcome.failed_fetches;
    assert_eq!(by.missing + by.gone + by.late + by.corrupt, failed, "each failed for a reason");
    let mut rows = outcome.recorder.take_rows();
    rows.sort_by_key(|row| row.id);
    Played { figures, rows, outcome }
}

fn from_pool(row: &Row) -> u32 {
    row.cached.as_ref().map_or(0, |cached| cached.by_tier[4])
}

#[test]
fn a_pool_that_is_always_gone_changes_nothing() {
    for policy in [PolicyConfig::RoundRobin, PolicyConfig::KvAware] {
        let gone = [fault(0.0, 1e6, FaultKind::PoolGone)];
        let faulty = play(&world(policy, Loads::WhenCheaper, &gone), 24);
        let without = play(&Scenario { pool: None, ..world(policy, Loads::WhenCheaper, &[]) }, 24);
        assert_eq!(faulty.figures, without.figures, "{policy}");
        assert_eq!(faulty.outcome.engines, without.outcome.engines);
    }
    let sound = play(&world(PolicyConfig::RoundRobin, Loads::WhenCheaper, &[]), 24);
    assert!(
        sound.figures.hit_rate_by_tier.expect("answers")[4] > 0.05,
        "the pool is worth something"
    );
}

#[test]
fn a_pool_that_was_gone_comes_back_empty_and_fills_again() {
    let sound = play(&world(PolicyConfig::RoundRobin, Loads::WhenCheaper, &[]), 24);
    let (from, to) = (10.0, 20.0);
    let gone = [fault(from, to - from, FaultKind::PoolGone)];
    let faulty = play(&world(PolicyConfig::RoundRobin, Loads::WhenCheaper, &gone), 24);
    let hits = |played: &Played, since: f64, until: f64| -> u32 {
        let sent = |row: &&Row| (since..until).contains(&row.sent.as_secs_f64());
        played.rows.iter().filter(sent).map(from_pool).sum()
    };
    assert_eq!(hits(&faulty, 0.0, 9.0), hits(&sound, 0.0, 9.0), "not yet");
    assert!(hits(&sound, from + 1.0, to - 1.0) > 1_000);
    assert_eq!(hits(&faulty, from + 0.1, to - 0.1), 0, "what is gone gives nothing");
    assert!(hits(&faulty, to + 1.0, 1e9) > 1_000, "it is used again");
    let pool = |played: &Played| played.outcome.pool.expect("there is a pool");
    assert!(pool(&faulty).sent_blocks < pool(&sound).sent_blocks);
    assert!(faulty.outcome.failed_fetches.late == 0, "a refused worker does not wait");
}

/// One request at a time, so that no request waits for another. The pool is silent half of the time, so that there is
/// something to ask for. Gives how much longer each request waited for its first token than without a pool, in
/// seconds, and how many fetches were given up.
fn waits_for_a_silent_pool(timeout_s: f64) -> (Vec<f64>, u64) {
    let without = {
        let whole = world(PolicyConfig::RoundRobin, Loads::Always, &[]);
        play(&Scenario { pool: None, ..whole }, 1)
    };
    let silent: Vec<Fault> =
        (0..60).map(|i| fault(4.0 + 8.0 * f64::from(i), 4.0, FaultKind::PoolSilent)).collect();
    let mut world = world(PolicyConfig::RoundRobin, Loads::Always, &silent);
    for link in world.groups.iter_mut().filter_map(|group| group.profile.pool.as_mut()) {
        link.timeout_ms = timeout_s * 1e3;
    }
    let faulty = play(&world, 1);
    let ttft = |row: &Row| row.ttft().expect("it was answered").as_secs_f64();
    let more = faulty.rows.iter().zip(&without.rows).map(|(row, plain)| {
        assert_eq!(row.id, plain.id);
        ttft(row) - ttft(plain)
    });
    (more.collect(), faulty.outcome.failed_fetches.late)
}

#[test]
fn a_silent_pool_costs_no_request_more_than_the_timeout_and_its_prompt() {
    let (more, late) = waits_for_a_silent_pool(TIMEOUT_S);
    assert!(late > 20, "{late} fetches were given up");
    assert!(more.iter().all(|&more| more < TIMEOUT_S + 0.01), "{more:?}");
    let waited = more.iter().filter(|&&more| more > 0.5 * TIMEOUT_S).count() as u64;
    assert_eq!(waited, late, "each wait is a fetch given up");
}

/// The control: what a silent pool was asked for is never answered, so with a timeout of 600 s a request waits so long.
#[test]
fn without_a_timeout_a_silent_pool_is_waited_for() {
    let (more, late) = waits_for_a_silent_pool(600.0);
    let longest = more.iter().copied().fold(0.0, f64::max);
    println!("{late} fetches given up, the longest wait is {longest} s");
    assert!(longest > 2.0 * TIMEOUT_S, "{longest} s");
}

#[test]
fn a_slow_pool_is_used_less() {
    let mut sent = Vec::new();
    for factor in [1.0, 30.0, 3_000.0] {
        let slow = Fault { factor: Some(factor), ..fault(0.0, 1e6, FaultKind::PoolSlow) };
        let played = play(&world(PolicyConfig::RoundRobin, Loads::WhenCheaper, &[slow]), 24);
        sent.push(played.outcome.pool.expect("there is a pool").sent_blocks);
    }
    let sound = play(&world(PolicyConfig::RoundRobin, Loads::WhenCheaper, &[]), 24);
    assert_eq!(sent[0], sound.outcome.pool.expect("there is a pool").sent_blocks);
    assert!(sent[0] > sent[1] && sent[1] > sent[2], "{sent:?}");
}

#[test]
fn broken_blocks_are_computed() {
    let corrupt = |share| Fault { share: Some(share), ..fault(0.0, 1e6, FaultKind::PoolCorrupt) };
    let world = |share| world(PolicyConfig::RoundRobin, Loads::WhenCheaper, &[corrupt(share)]);
    let some = play(&world(0.25), 24);
    let by = some.outcome.failed_fetches;
    assert_eq!((by.gone, by.late), (0, 0), "{by:?}");
    let used = some.rows.iter().filter(|row| from_pool(row) > 0).count() as f64;
    let share = by.corrupt as f64 / (by.corrupt as f64 + used);
    assert!((0.15..0.35).contains(&share), "{share}: {by:?}, {used} came whole");
    let all = play(&world(1.0), 24);
    assert_eq!(all.figures.hit_rate_by_tier.expect("answers")[4], 0.0);
    assert_eq!(all.outcome.pool, play(&world(1.0), 24).outcome.pool, "drawn from names");
}

#[test]
fn a_fault_without_a_pool_is_rejected() {
    let gone = [fault(0.0, 1.0, FaultKind::PoolGone)];
    let lonely =
        Scenario { pool: None, ..world(PolicyConfig::RoundRobin, Loads::WhenCheaper, &gone) };
    let workload = workload(&spec(1, Arrivals::Closed { sessions: 1 }), 16, 3);
    let error = run(&lonely, workload, Observers::default()).expect_err("nothing can fail");
    assert!(matches!(error, RunError::Fault(_)));
    assert_eq!(
        error.to_string(),
        "fault 1: kind: needs a pool, but the scenario has none, expected [pool]"
    );
}
