//! What the router knows late or wrong: events of workers, and their speed.

use warmpath_core::report::Slo;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::sessions::{Amount, Arrivals, SessionsSpec};
use warmpath_sim::{Fault, FaultKind, Network, Observers, Outcome, Routing, Scenario, run};

const WORKERS: u32 = 8;

fn world(policy: PolicyConfig) -> Scenario {
    // So little memory that what a worker has changes all the time.
    crate::common::scenario(WORKERS, policy, crate::common::profile(16, Some(60_000)))
}

fn play(scenario: &Scenario) -> Outcome {
    let spec = SessionsSpec {
        system_tokens: 2_000,
        user_tokens: Amount { mean: 1_000.0, cv: 1.0 },
        output_tokens: Amount { mean: 150.0, cv: 1.0 },
        max_context_tokens: 20_000,
        ..crate::common::spec(1_500, Arrivals::Poisson { sessions_per_s: 8.0 })
    };
    run(scenario, crate::common::workload(&spec, 16, 5), Observers::default())
        .expect("a world that can be made")
}

fn ttft(outcome: &Outcome) -> f64 {
    let figures = outcome.recorder.figures(16, WORKERS, &Slo { ttft_s: 1.0, tpot_s: 0.1 });
    figures.ttft_s.expect("answers").mean
}

/// A rule that looks at caches loses by it, one that does not is the same to the byte.
#[test]
fn late_events_cost_who_reads_them() {
    let late = Network { event_delay_ms: 20_000.0, ..Network::default() };
    let both = |policy| {
        let scenario = world(policy);
        let delayed = Scenario { network: late, ..scenario.clone() };
        [ttft(&play(&scenario)), ttft(&play(&delayed))]
    };
    let [at_once, delayed] = both(PolicyConfig::KvAware);
    assert!(delayed > at_once * 1.05, "{at_once} {delayed}");
    let [at_once, delayed] = both(PolicyConfig::RoundRobin);
    assert_eq!(at_once, delayed);
}

/// Rules that estimate times lose by it, one that does not is the same to the byte.
#[test]
fn a_wrong_speed_costs_who_estimates() {
    let wrong = Routing { speed_error: 3.0, ..Routing::default() };
    let both = |policy| {
        let scenario = world(policy);
        let believed = Scenario { routers: wrong, ..scenario.clone() };
        [ttft(&play(&scenario)), ttft(&play(&believed))]
    };
    let [right, wrong] = both(PolicyConfig::Warmpath);
    assert!(wrong > right * 1.05, "{right} {wrong}");
    let [right, wrong] = both(PolicyConfig::RoundRobin);
    assert_eq!(right, wrong);
}

/// A fault that lasts longer than any run ends with the last request, and the world comes to rest.
#[test]
fn a_fault_may_last_as_long_as_there_are_requests() {
    let lossy = |worker| Fault {
        at_s: 0.0,
        for_s: Fault::FOREVER_S,
        kind: FaultKind::FeedLossy,
        worker: Some(worker),
        factor: None,
        share: Some(0.3),
    };
    let faults = (0..WORKERS).map(lossy).collect();
    let outcome = play(&Scenario { faults, ..world(PolicyConfig::KvAware) });
    let feeds = outcome.feeds.expect("feeds are played message by message");
    assert_eq!(outcome.recorder.ended(), 1_500);
    assert!(feeds.lost > 1_000 && feeds.gaps > 300, "{feeds:?}");
    assert_eq!(feeds.steady, 0, "it lasts from the first decision to the last");
}
