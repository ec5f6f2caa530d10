//! Fleets of several kinds of workers.

use crate::common::{profile, scenario, spec, workload};
use warmpath_core::engine::profile::{Loads, PeerLink, Profile, StepTime};
use warmpath_core::event::Role;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_sim::{FleetError, Group, Observers, Outcome, RunError, Scenario, run};

/// Takes `times` as long for everything.
fn slow(times: f64) -> Profile {
    let mut slow = profile(16, Some(40_000));
    let StepTime::Linear(step) = &mut slow.step else { panic!("a made-up step") };
    for part in [&mut step.weights_ns, &mut step.ns_per_token, &mut step.ns_per_context_token] {
        *part *= times;
    }
    slow
}

fn group(name: &str, workers: u32, profile: Profile) -> Group {
    Group { name: name.into(), workers, role: Role::Both, profile }
}

/// Two fast workers, then two that take three times as long.
fn fleet(policy: PolicyConfig) -> Scenario {
    let groups = vec![group("fast", 2, slow(1.0)), group("slow", 2, slow(3.0))];
    Scenario { groups, ..scenario(1, policy, slow(1.0)) }
}

fn play(policy: PolicyConfig) -> Outcome {
    let workload = workload(&spec(800, Arrivals::Closed { sessions: 64 }), 16, 5);
    run(&fleet(policy), workload, Observers::default()).expect("a world that can be made")
}

/// Share of the requests that slow workers answered.
fn share_of_slow(outcome: &Outcome) -> f64 {
    let answered = outcome.recorder.answered();
    let slow = answered.iter().filter(|request| request.worker >= WorkerId(2)).count();
    slow as f64 / answered.len() as f64
}

#[test]
fn a_rule_that_weighs_seconds_sends_less_to_slow_workers() {
    let (blind, aware) = (play(PolicyConfig::RoundRobin), play(PolicyConfig::KvAware));
    assert_eq!(share_of_slow(&blind), 0.5, "round robin knows no difference");
    let share = share_of_slow(&aware);
    assert!((0.02..0.35).contains(&share), "{share} of the requests went to the slow half");
    let mean = |outcome: &Outcome| {
        let answered = outcome.recorder.answered();
        answered.iter().map(|r| r.ttft().as_secs_f64()).sum::<f64>() / answered.len() as f64
    };
    assert!(mean(&aware) < mean(&blind));
}

#[test]
fn workers_are_numbered_through_the_groups() {
    let outcome = play(PolicyConfig::RoundRobin);
    let busy: Vec<f64> = outcome.engines.iter().map(|stats| stats.busy.as_secs_f64()).collect();
    assert_eq!(busy.len(), 4);
    let fast = busy[0].max(busy[1]);
    assert!(fast < busy[2].min(busy[3]), "the first two are the fast ones: {busy:?}");
}

#[test]
fn groups_that_can_not_be_one_fleet_are_rejected() {
    let refused = |change: fn(&mut Vec<Group>)| {
        let mut scenario = fleet(PolicyConfig::RoundRobin);
        change(&mut scenario.groups);
        let workload = workload(&spec(1, Arrivals::Closed { sessions: 1 }), 16, 5);
        match run(&scenario, workload, Observers::default()) {
            Err(RunError::Fleet(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let blocks = refused(|groups| groups[1].profile.block_size = 32);
    assert_eq!(
        blocks.to_string(),
        "groups \"fast\" and \"slow\": block_size 16 and 32, expected the same throughout a fleet"
    );
    assert_eq!(refused(Vec::clear), FleetError::NoWorkers);
    assert_eq!(
        refused(|groups| groups[1].name = "fast".into()),
        FleetError::SameName("fast".into())
    );
    let bytes = refused(|groups| {
        groups[1].profile.kv_bytes_per_token = 50_000;
        let loads = Loads::WhenCheaper;
        let peers = PeerLink { gb_s: 40.0, latency_us: 50.0, loads, timeout_ms: 500.0 };
        groups[0].profile.peers = Some(peers);
    });
    assert!(bytes.to_string().contains("kv_bytes_per_token 100000 and 50000"), "{bytes}");
}
