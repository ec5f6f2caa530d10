//! Worlds in which some workers prefill and others decode.

use crate::common::{by_hand, profile, scenario, spec, workload};
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::EngineStats;
use warmpath_core::engine::profile::{Fill, Loads, PoolLink, Profile};
use warmpath_core::engine::transfers::{KvTransferLink, KvTransferStats};
use warmpath_core::event::Role;
use warmpath_core::id::WorkerId;
use warmpath_core::report::{Figures, Slo};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::tokens::Segment;
use warmpath_core::workload::Workload;
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_core::workload::trace::{Pace, TimedReplay, TimedRequest, Trace};
use warmpath_sim::{FleetError, Group, Network, Observers, Outcome, RunError, Scenario, run};

/// 100,000 bytes a token: 1 µs on the link.
const LINK: KvTransferLink =
    KvTransferLink { gb_s: 100.0, latency_us: 50.0, timeout_ms: 1_000.0, hold_ms: 60_000.0 };

fn group(name: &str, workers: u32, role: Role, profile: Profile) -> Group {
    Group { name: name.into(), workers, role, profile }
}

fn fleet(policy: PolicyConfig, prefill: u32, decode: u32, profile: &Profile) -> Scenario {
    let groups = vec![
        group("prefill", prefill, Role::Prefill, profile.clone()),
        group("decode", decode, Role::Decode, profile.clone()),
    ];
    Scenario { groups, kv_transfer: Some(LINK), ..scenario(1, policy, profile.clone()) }
}

fn figures(outcome: &Outcome) -> Figures {
    outcome.recorder.figures(16, None, &Slo { ttft_s: 1.0, tpot_s: 0.1 })
}

fn total(outcome: &Outcome, of: fn(&EngineStats) -> u64) -> u64 {
    outcome.engines.iter().map(of).sum()
}

fn handed(outcome: &Outcome, of: fn(&KvTransferStats) -> u64) -> u64 {
    outcome.kv_transfers.iter().map(of).sum()
}

fn recorded(requests: Vec<TimedRequest>, block_size: u32) -> Workload {
    let scope = ScopePlan::new("", "", "", block_size);
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    Workload::Trace(TimedReplay::new(Arc::new(Trace::new(requests, &scope)), pace))
}

/// Prompts that share nothing, of all lengths.
fn strangers(count: u32) -> (Vec<TimedRequest>, u64) {
    let tokens = |i: u32| 1 + i * 37 % 3_000;
    let request = |i: u32| TimedRequest {
        at_ms: u64::from(i) * 20,
        prompt: vec![Segment::Text { seed: u64::from(i), tokens: tokens(i) }],
        output_tokens: 1 + i % 30,
    };
    ((0..count).map(request).collect(), (0..count).map(|i| u64::from(tokens(i))).sum())
}

#[test]
fn bytes_on_the_link_are_tokens_times_bytes_a_token() {
    let profile = profile(16, Some(60_000));
    for &policy in PolicyConfig::ALL {
        let (requests, tokens) = strangers(300);
        let scenario = fleet(policy, 3, 2, &profile);
        let outcome =
            run(&scenario, recorded(requests, 16), Observers::default()).expect("a world");
        let figures = figures(&outcome);
        assert_eq!((figures.errors, figures.requests), (0, 300), "{policy}");
        assert_eq!(handed(&outcome, |stats| stats.tokens), tokens, "{policy}");
        let bytes = handed(&outcome, |stats| stats.bytes);
        assert_eq!(bytes, tokens * profile.kv_bytes_per_token, "{policy}");
        assert_eq!(handed(&outcome, |stats| stats.failed), 0);
        // Each does its half alone.
        for (i, stats) in outcome.engines.iter().enumerate() {
            assert_eq!(stats.prefill_tokens > 0, i < 3, "{policy}: worker {i}");
            assert_eq!(stats.output_tokens > 0, i >= 3, "{policy}: worker {i}");
        }
    }
}

#[test]
fn sessions_find_their_prefix_on_both_sides() {
    let profile = profile(16, Some(60_000));
    for &policy in PolicyConfig::ALL {
        let workload = workload(&spec(600, Arrivals::Closed { sessions: 24 }), 16, 3);
        let outcome =
            run(&fleet(policy, 2, 2, &profile), workload, Observers::default()).expect("a world");
        let figures = figures(&outcome);
        assert_eq!((figures.errors, figures.requests), (0, 600), "{policy}");
        let prompts = figures.prefill_tokens_cached + figures.prefill_tokens_computed;
        let moved = handed(&outcome, |stats| stats.tokens);
        assert!(moved < prompts * 9 / 10, "{policy}: decoders hold what went before");
        let computed = total(&outcome, |stats| stats.prefill_tokens);
        assert_eq!(
            computed - total(&outcome, |stats| stats.recomputed_tokens),
            figures.prefill_tokens_computed,
            "{policy}: what was not found was computed, once"
        );
    }
}

/// Where turns of a session are computed in turn by several, one gets from the pool what another has
/// computed; and what it gets is handed over as what it computed.
#[test]
fn prefill_workers_fetch_from_the_pool() {
    let play = |pool: Option<PoolLink>| {
        let profile = Profile { pool, ..profile(16, Some(60_000)) };
        let mut scenario = fleet(PolicyConfig::RoundRobin, 3, 2, &profile);
        scenario.pool = Some(crate::common::pool());
        let workload = workload(&spec(400, Arrivals::Closed { sessions: 16 }), 16, 3);
        let outcome = run(&scenario, workload, Observers::default()).expect("a world");
        let figures = figures(&outcome);
        assert_eq!((figures.errors, figures.requests), (0, 400));
        (figures, outcome)
    };
    let (alone, _) = play(None);
    let (shared, outcome) = play(Some(PoolLink {
        gb_s: 25.0,
        latency_us: 300.0,
        fill: Fill::WriteThrough,
        loads: Loads::WhenCheaper,
        timeout_ms: 500.0,
    }));
    let by_prefill_workers: u64 =
        outcome.engines[..3].iter().map(|stats| stats.fetched_blocks).sum();
    assert!(by_prefill_workers > 0 && shared.hit_rate_by_tier.expect("answers")[4] > 0.0);
    assert!(
        shared.hit_rate.expect("answers") > alone.hit_rate.expect("answers") + 0.1,
        "{} {}",
        shared.hit_rate.expect("answers"),
        alone.hit_rate.expect("answers")
    );
    assert!(shared.ttft_s.expect("answers").mean < alone.ttft_s.expect("answers").mean);
}

#[test]
fn a_first_token_takes_prefill_transfer_a_step_and_six_hops() {
    let one = |hop_us: f64| {
        let prompt = vec![Segment::Text { seed: 1, tokens: 950 }];
        let requests = vec![TimedRequest { at_ms: 0, prompt, output_tokens: 3 }];
        let network = Network { hop_us, ..Network::default() };
        let scenario = Scenario { network, ..fleet(PolicyConfig::KvAware, 1, 1, &by_hand()) };
        let outcome =
            run(&scenario, recorded(requests, 100), Observers::default()).expect("a world");
        let answered = &outcome.recorder.answered()[0];
        let us = |duration: warmpath_core::time::Duration| duration.as_nanos() / 1_000;
        assert_eq!(answered.worker, WorkerId(1), "the decode worker");
        (us(answered.ttft()), us(answered.ended.since(answered.sent)))
    };
    // 1,950 to compute the prompt, 950 + 50 for its KV, 1,001 a token.
    assert_eq!(one(0.0), (1_950 + 1_000 + 1_001, 1_950 + 1_000 + 3 * 1_001));
    assert_eq!(one(100.0).0, one(0.0).0 + 600, "to router, worker, router, worker, router, client");
}

#[test]
fn prompts_of_failed_transfers_are_computed_and_no_request_fails() {
    let profile = profile(16, Some(60_000));
    let play = |link: KvTransferLink| {
        let (requests, tokens) = strangers(200);
        let scenario =
            Scenario { kv_transfer: Some(link), ..fleet(PolicyConfig::KvAware, 2, 2, &profile) };
        let outcome =
            run(&scenario, recorded(requests, 16), Observers::default()).expect("a world");
        let figures = figures(&outcome);
        assert_eq!((figures.errors, figures.requests), (0, 200));
        (outcome, tokens)
    };
    // Each is late: 50 us on the way, and 40 of patience.
    let (late, tokens) = play(KvTransferLink { timeout_ms: 0.04, ..LINK });
    assert_eq!(handed(&late, |stats| stats.failed), 200);
    // Both sides computed all of it.
    let computed = total(&late, |stats| stats.prefill_tokens);
    assert_eq!(computed - total(&late, |stats| stats.recomputed_tokens), 2 * tokens);
    // Nothing is held any more when it is asked for: that takes two hops of 100 us.
    let (gone, _) = play(KvTransferLink { hold_ms: 0.1, ..LINK });
    assert_eq!(handed(&gone, |stats| stats.failed), 200);
    assert_eq!(handed(&gone, |stats| stats.expired), 200);
    assert_eq!(handed(&gone, |stats| stats.bytes), 0);
}

#[test]
fn decoding_is_not_held_up_by_prompts() {
    let profile = profile(16, Some(200_000));
    let play = |scenario: &Scenario| {
        let (requests, _) = strangers(400);
        let outcome = run(scenario, recorded(requests, 16), Observers::default()).expect("a world");
        figures(&outcome)
    };
    let both = play(&scenario(4, PolicyConfig::LeastLoaded, profile.clone()));
    let apart = play(&fleet(PolicyConfig::LeastLoaded, 3, 1, &profile));
    assert!(
        apart.tpot_s.expect("answers").mean < 0.8 * both.tpot_s.expect("answers").mean,
        "{apart:?} {both:?}"
    );
}

#[test]
fn equal_seeds_give_equal_worlds() {
    let play = |seed| {
        let workload = workload(&spec(300, Arrivals::Closed { sessions: 24 }), 16, seed);
        let scenario = fleet(PolicyConfig::KvAware, 2, 2, &profile(16, Some(20_000)));
        let outcome = run(&scenario, workload, Observers::default()).expect("a world");
        (outcome.events, format!("{:?}{:?}", outcome.engines, outcome.recorder.answered()))
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}

#[test]
fn a_request_that_no_decode_worker_has_room_for_is_rejected() {
    let mut scenario = fleet(PolicyConfig::KvAware, 1, 1, &profile(16, Some(60_000)));
    scenario.groups[1].profile.hbm_tokens = Some(1_600);
    // Fits as a prompt, not with the answer that its client asked for.
    let prompt = vec![Segment::Text { seed: 1, tokens: 1_590 }];
    let requests = vec![TimedRequest { at_ms: 0, prompt, output_tokens: 40 }];
    let outcome = run(&scenario, recorded(requests, 16), Observers::default()).expect("a world");
    let figures = figures(&outcome);
    assert_eq!((figures.errors, figures.requests), (1, 0));
    let reasons: Vec<_> = figures.errors_by_reason.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["request too large for any worker"]);
}

#[test]
fn a_fleet_without_one_of_the_roles_is_rejected() {
    let refused = |change: fn(&mut Scenario)| {
        let mut scenario = fleet(PolicyConfig::KvAware, 1, 1, &profile(16, None));
        change(&mut scenario);
        let workload = workload(&spec(1, Arrivals::Closed { sessions: 1 }), 16, 5);
        match run(&scenario, workload, Observers::default()) {
            Err(RunError::Fleet(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let alone = refused(|scenario| scenario.groups.truncate(1));
    assert_eq!(
        alone,
        "group \"prefill\": role prefill without a group of role decode, expected one of each"
    );
    let unlinked = refused(|scenario| scenario.kv_transfer = None);
    assert!(unlinked.contains("role prefill without a [kv_transfer]"), "{unlinked}");
    let bytes = refused(|scenario| scenario.groups[1].profile.kv_bytes_per_token = 7);
    assert!(bytes.contains("kv_bytes_per_token 100000 and 7"), "{bytes}");
    let link =
        refused(|scenario| scenario.kv_transfer = Some(KvTransferLink { gb_s: 0.0, ..LINK }));
    assert_eq!(link, "kv_transfer.gb_s: 0, expected more than 0");
    let twice: FleetError = FleetError::SameName("a".into());
    let why = "group \"a\" is used twice, expected a different name for each group";
    assert_eq!(twice.to_string(), why);
}
