//! Worlds whose router holds requests while its workers are full.

use crate::common::{by_hand, profile, scenario, spec, workload};
use std::collections::BTreeMap;
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::event::Role;
use warmpath_core::report::{Figures, Slo};
use warmpath_core::rng::Rng;
use warmpath_core::routing::QueueLimits;
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::{PolicyConfig, WaitForRoom};
use warmpath_core::routing::record::{Entry, Header, replay};
use warmpath_core::time::Duration;
use warmpath_core::tokens::Segment;
use warmpath_core::workload::Workload;
use warmpath_core::workload::sessions::Arrivals;
use warmpath_core::workload::trace::{Pace, TimedReplay, TimedRequest, Trace};
use warmpath_sim::{Group, Observers, Outcome, Scenario, run};

fn one_at_a_time() -> PolicyConfig {
    WaitForRoom { max_active: 1, recheck_s: 1.0 }.into()
}

/// Three prompts of strangers, for one worker that takes one at a time. A hop takes 0.1 ms, a prompt
/// 1 ms and 1 µs a token; each answer is one token.
fn three(queue: QueueLimits) -> Outcome {
    let request = |at_ms, seed, tokens| TimedRequest {
        at_ms,
        prompt: vec![Segment::Text { seed, tokens }],
        output_tokens: 1,
    };
    let requests = vec![request(0, 1, 1_000), request(1, 2, 500), request(2, 3, 200)];
    let trace = Arc::new(Trace::new(requests, &ScopePlan::new("", "", "", 100)));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    let scenario = Scenario { queue, ..scenario(1, one_at_a_time(), by_hand()) };
    run(&scenario, Workload::Trace(TimedReplay::new(trace, pace)), Observers::default())
        .expect("a world that can be made")
}

/// TTFT in microseconds, by request.
fn ttfts(outcome: &Outcome) -> BTreeMap<u64, u64> {
    let answered = outcome.recorder.answered().iter();
    answered.map(|r| (r.id.0, r.ttft().as_nanos() / 1_000)).collect()
}

fn figures(outcome: &Outcome) -> Figures {
    outcome.recorder.figures(100, 1, &Slo { ttft_s: 1.0, tpot_s: 1.0 })
}

#[test]
fn a_held_request_takes_the_time_it_should() {
    let outcome = three(QueueLimits::default());
    // Request 0 reaches the router at 0.1 and the worker at 0.2. It is computed at 2.2, the router
    //   hears of it at 2.3, the client at 2.4.
    // Request 1 reaches the router at 1.1 and is held. At 2.3 it is sent, at 2.4 it is at the worker,
    //   at 3.9 computed; the router hears of it at 4.0, the client at 4.1, 3.1 after it was sent.
    // Request 2 reaches the router at 2.1 and is held behind request 1. At 4.0 it is sent, at 4.1 it
    //   is at the worker, at 5.3 computed; its client hears of it at 5.5, 3.5 after it was sent.
    assert_eq!(ttfts(&outcome), BTreeMap::from([(0, 2_400), (1, 3_100), (2, 3_500)]));
    assert_eq!(outcome.held, 2);
}

#[test]
fn a_request_that_waits_too_long_makes_way_for_the_next() {
    let longest_wait = Duration::from_millis(1);
    let outcome = three(QueueLimits { longest_wait, ..QueueLimits::default() });
    // Request 1 is held at 1.1 and rejected at 2.1. Request 2 comes at 2.1, is sent at 2.3, is at the
    // worker at 2.4, computed at 3.6; its client hears of it at 3.8, 1.8 after it was sent.
    assert_eq!(ttfts(&outcome), BTreeMap::from([(0, 2_400), (2, 1_800)]));
    let errors = BTreeMap::from([("waited too long".to_owned(), 1)]);
    assert_eq!((figures(&outcome).errors_by_reason, outcome.held), (errors, 2));
}

#[test]
fn a_request_that_finds_the_queue_full_is_rejected() {
    let outcome = three(QueueLimits { requests: 1, ..QueueLimits::default() });
    assert_eq!(ttfts(&outcome), BTreeMap::from([(0, 2_400), (1, 3_100)]));
    let errors = BTreeMap::from([("queue full".to_owned(), 1)]);
    assert_eq!((figures(&outcome).errors_by_reason, outcome.held), (errors, 1));
}

#[test]
fn a_rule_that_finds_room_holds_nothing() {
    let play = |policy| {
        let spec = spec(300, Arrivals::Poisson { sessions_per_s: 3.0 });
        run(&scenario(3, policy, profile(16, None)), workload(&spec, 16, 4), Observers::default())
            .expect("a world that can be made")
    };
    let roomy = play(WaitForRoom { max_active: 1_000, recheck_s: 1.0 }.into());
    let plain = play(PolicyConfig::LeastLoaded);
    assert_eq!(roomy.held, 0);
    let text = |outcome: &Outcome| serde_json::to_string(&figures(outcome)).expect("figures");
    assert_eq!(text(&roomy), text(&plain), "it is the least loaded worker then");
}

/// A world from a seed, and the record of its router.
fn play(seed: u64) -> (Outcome, Vec<String>) {
    let mut rng = Rng::named(seed, &[3]);
    let mut pick = |choices: &[u64]| choices[rng.below(choices.len() as u64) as usize];
    let policy = WaitForRoom {
        max_active: pick(&[1, 2, 6]) as u32,
        recheck_s: [0.001, 0.05, 5.0][pick(&[0, 1, 2]) as usize],
    };
    let policy = PolicyConfig::from(policy);
    let queue = QueueLimits {
        requests: pick(&[1, 4, 1_000]) as u32,
        prompt_tokens: pick(&[3_000, 1_000_000]),
        longest_wait: Duration::from_millis(pick(&[20, 1_000, 60_000])),
    };
    let profile = profile(16, [None, Some(9_000)][pick(&[0, 1]) as usize]);
    let mut scenario =
        Scenario { queue, ..scenario(pick(&[1, 3]) as u32, policy, profile.clone()) };
    if pick(&[0, 1, 2]) == 0 {
        let group = |name: &str, role| Group {
            name: name.into(),
            workers: 2,
            role,
            profile: profile.clone(),
        };
        scenario.groups = vec![group("prefill", Role::Prefill), group("decode", Role::Decode)];
        let link = KvTransferLink { gb_s: 50.0, latency_us: 50.0, timeout_ms: 1e3, hold_ms: 6e4 };
        scenario.kv_transfer = Some(link);
    }
    let arrivals = match pick(&[0, 1]) {
        0 => Arrivals::Poisson { sessions_per_s: pick(&[2, 10]) as f64 },
        _ => Arrivals::Closed { sessions: pick(&[3, 20]) as u32 },
    };
    let workload = workload(&spec(200, arrivals), 16, seed);
    let line = |value: serde_json::Result<String>| value.expect("a record has a JSON form");
    let header = Header::new(policy, scenario.seed).with_queue_limits(queue);
    let mut lines = vec![line(serde_json::to_string(&header))];
    let mut push = |entry: &Entry| lines.push(line(serde_json::to_string(entry)));
    let observers = Observers { record: Some(&mut push), ..Observers::default() };
    let outcome = run(&scenario, workload, observers).expect("a world that can be made");
    (outcome, lines)
}

/// Each request arrives once and is sent or rejected once, at once or after it was held.
fn check_each_ends_once(lines: &[String]) {
    #[derive(PartialEq, Debug)]
    enum State {
        Arrived,
        Held,
        Decided,
    }
    let mut states = BTreeMap::new();
    for line in &lines[1..] {
        let entry: Entry = serde_json::from_str(line).expect("an entry");
        if let Input::Arrived(request) = &entry.input {
            assert_eq!(states.insert(request.id, State::Arrived), None);
        }
        for action in &entry.actions {
            let (id, next) = match action {
                Action::Dispatch { id, .. } | Action::Reject { id, .. } => (*id, State::Decided),
                Action::Hold { id, .. } => (*id, State::Held),
                Action::Abandon { .. } => panic!("no worker fails here: {line}"),
            };
            let last = states.insert(id, next);
            let arrived = matches!(action, Action::Hold { .. });
            assert!(
                last == Some(State::Arrived) || !arrived && last == Some(State::Held),
                "{line}"
            );
        }
    }
    assert!(states.values().all(|state| *state == State::Decided));
}

#[test]
fn random_worlds_that_hold_keep_their_invariants_and_replay() {
    let (mut held, mut failed) = (0, 0);
    for seed in 0..60 {
        let played = std::panic::catch_unwind(|| play(seed));
        let (outcome, lines) = played.unwrap_or_else(|_| panic!("seed {seed} broke an invariant"));
        check_each_ends_once(&lines);
        let done = replay(lines.iter()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(done.decisions, 200, "seed {seed}");
        let figures = figures(&outcome);
        assert_eq!(figures.requests + figures.errors, 200, "seed {seed}");
        held += outcome.held;
        failed += figures.errors;
    }
    assert!(held > 1_000 && failed > 500, "too few: {held} held, {failed} failed");
}

#[test]
fn a_seed_gives_the_same_record_and_figures() {
    for seed in [1, 2, 3, 40] {
        let [(one, first), (two, second)] = [play(seed), play(seed)];
        assert_eq!(first, second, "seed {seed}");
        assert_eq!(format!("{:?}", one.engines), format!("{:?}", two.engines));
    }
}
