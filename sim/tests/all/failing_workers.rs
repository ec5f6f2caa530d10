//! Worlds whose workers fail. The world's own checkers hold that no request is lost and that no token
//! of an answer comes twice. Each promise has its control: without the mechanism it is broken.

use crate::common::{profile, scenario, spec, workload};
use warmpath_core::id::WorkerId;
use warmpath_core::report::{Figures, Row, Slo};
use warmpath_core::rng::Rng;
use warmpath_core::routing::Reliability;
use warmpath_core::routing::input::Action;
use warmpath_core::routing::policy::{LeastLoaded, PolicyConfig, Warmpath};
use warmpath_core::routing::record::{Entry, Header, replay};
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_sim::{AttemptCounts, Fault, FaultKind, Observers, RunError, Scenario, run};

/// The faults begin then.
const FAULT_S: f64 = 10.0;
const BAD: u32 = 1;

fn rules() -> [PolicyConfig; 3] {
    [PolicyConfig::KvAware, LeastLoaded::DEFAULT.into(), Warmpath::DEFAULT.into()]
}

fn fault(kind: FaultKind, for_s: f64) -> Fault {
    Fault { at_s: FAULT_S, for_s, kind, worker: Some(BAD), factor: None, share: None }
}

fn world(workers: u32, policy: PolicyConfig, faults: &[Fault], what: Reliability) -> Scenario {
    let plain = scenario(workers, policy, profile(16, Some(60_000)));
    Scenario { faults: faults.to_vec(), reliability: what, ..plain }
}

struct Played {
    figures: Figures,
    rows: Vec<Row>,
    /// When each attempt was sent, in seconds, and where to.
    sent: Vec<(f64, WorkerId)>,
    attempts: AttemptCounts,
    lines: Vec<String>,
}

fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a record has a JSON form")
}

/// Sessions come in an open loop for about 50 s.
fn play(scenario: &Scenario) -> Played {
    let spec = spec(4_000, Arrivals::Poisson { sessions_per_s: 16.0 });
    let header = Header::new(scenario.policy, 0).with_reliability(scenario.reliability);
    let (mut sent, mut lines) = (Vec::new(), vec![line(&header)]);
    let mut push = |entry: &Entry| {
        for action in &entry.actions {
            if let Action::Dispatch { decision, .. } = action {
                sent.push((entry.now.as_secs_f64(), decision.worker));
            }
        }
        lines.push(line(entry));
    };
    let observers = Observers { record: Some(&mut push), rows: true, ..Observers::default() };
    let mut outcome =
        run(scenario, workload(&spec, 16, 5), observers).expect("a world that can be");
    let figures = outcome.recorder.figures(16, 4, &Slo { ttft_s: 1.0, tpot_s: 0.1 });
    let rows = outcome.recorder.take_rows();
    Played { figures, rows, sent, attempts: outcome.attempts, lines }
}

/// The share of attempts that went to the bad worker, of those sent in this time.
fn share_of_bad(played: &Played, from_s: f64, to_s: f64) -> f64 {
    let sent = played.sent.iter().filter(|(at, _)| (from_s..to_s).contains(at));
    let all = sent.clone().count();
    assert!(all > 100, "only {all} attempts in this time");
    sent.filter(|(_, worker)| *worker == WorkerId(BAD)).count() as f64 / all as f64
}

/// The 99th percentile of the time to the first token, of requests sent in this time.
fn p99(played: &Played, from_s: f64, to_s: f64) -> f64 {
    let sent = played.rows.iter().filter(|row| (from_s..to_s).contains(&row.sent.as_secs_f64()));
    let mut ttft: Vec<f64> = sent.filter_map(|row| Some(row.ttft()?.as_secs_f64())).collect();
    ttft.sort_by(f64::total_cmp);
    ttft[ttft.len() * 99 / 100]
}

/// The longest time to the first token, of requests sent in this time.
fn worst(played: &Played, from_s: f64, to_s: f64) -> f64 {
    let sent = played.rows.iter().filter(|row| (from_s..to_s).contains(&row.sent.as_secs_f64()));
    sent.filter_map(|row| Some(row.ttft()?.as_secs_f64())).fold(0.0, f64::max)
}

#[test]
fn a_worker_that_fails_at_once_gets_few_requests() {
    let faults = [fault(FaultKind::WorkerFailing, 25.0)];
    let (from, to) = (FAULT_S + 1.0, FAULT_S + 25.0);
    for policy in rules() {
        let on = play(&world(4, policy, &faults, Reliability::on()));
        let off = play(&world(4, policy, &faults, Reliability::default()));
        let (share, without) = (share_of_bad(&on, from, to), share_of_bad(&off, from, to));
        println!("{policy}: {share:.3} of attempts, {without:.3} without; {:?}", on.attempts);
        assert!(share <= 0.02, "{policy}: {share}");
        assert_eq!(on.figures.errors, 0, "{policy}: {:?}", on.figures.errors_by_reason);
        assert!(without > 0.2 && off.figures.errors > 100, "{policy}: the control, {without}");
        let back = share_of_bad(&on, FAULT_S + 33.0, 1e9);
        assert!(back > 0.05, "{policy}: it is back in rotation, with {back}");
    }
}

#[test]
fn a_frozen_or_slow_worker_is_out_within_two_seconds() {
    let frozen = fault(FaultKind::WorkerFrozen, 25.0);
    let slow = Fault { factor: Some(20.0), ..fault(FaultKind::WorkerSlow, 25.0) };
    let (from, to) = (FAULT_S + 2.0, FAULT_S + 25.0);
    for policy in rules().into_iter().chain([PolicyConfig::RoundRobin]) {
        let less = play(&world(3, policy, &[], Reliability::on()));
        for fault in [frozen, slow] {
            let on = play(&world(4, policy, &[fault], Reliability::on()));
            let off = play(&world(4, policy, &[fault], Reliability::default()));
            let (share, without) = (share_of_bad(&on, from, to), share_of_bad(&off, from, to));
            let (late, usual) = (p99(&on, from, to), p99(&less, from, to));
            let uncared = p99(&off, from, to);
            println!(
                "{policy}, {:?}: {share:.3} of attempts, {without:.3} without; p99 {late:.3} s, \
                 {uncared:.3} s without, {usual:.3} s on 3 workers; {:?}",
                fault.kind, on.attempts
            );
            assert!(share <= 0.02, "{policy}, {:?}: {share}", fault.kind);
            assert!(late <= 2.0 * usual, "{policy}, {:?}: {late} s, {usual} s", fault.kind);
            assert_eq!(on.figures.errors, 0, "{policy}: {:?}", on.figures.errors_by_reason);
            let (worst, control) = (worst(&on, FAULT_S, to), worst(&off, FAULT_S, to));
            println!("the worst waited {worst:.3} s, {control:.3} s without");
            assert!(worst < 3.0, "{policy}, {:?}: {worst} s", fault.kind);
            let broken = match fault.kind {
                // A rule that counts requests sends few to a worker that ends none, but those wait.
                FaultKind::WorkerFrozen => control > 10.0,
                _ => uncared > 2.0 * usual,
            };
            assert!(broken, "{policy}, {:?}: the control keeps the promise", fault.kind);
            let blind = policy == PolicyConfig::RoundRobin;
            assert!(!blind || without > 0.2, "{policy}, {:?}: {without}", fault.kind);
        }
    }
}

#[test]
fn a_worker_that_dies_loses_no_request() {
    // Five deaths, each of another worker.
    let faults: Vec<Fault> = (0..5)
        .map(|i| Fault {
            at_s: FAULT_S + 4.0 * f64::from(i),
            worker: Some(i as u32 % 4),
            ..fault(FaultKind::WorkerGone, 2.0)
        })
        .collect();
    for policy in rules() {
        let on = play(&world(4, policy, &faults, Reliability::on()));
        let off = play(&world(4, policy, &faults, Reliability::default()));
        println!("{policy}: {:?}; {} lost without", on.attempts, off.figures.errors);
        assert_eq!(on.figures.errors, 0, "{policy}: {:?}", on.figures.errors_by_reason);
        assert!(on.attempts.resumed > 0, "{policy}: answers are resumed: {:?}", on.attempts);
        assert!(off.figures.errors > 5, "{policy}: the control loses requests");
    }
}

#[test]
fn a_fleet_without_faults_is_the_same_with_and_without() {
    for policy in rules() {
        let on = play(&world(4, policy, &[], Reliability::on()));
        let off = play(&world(4, policy, &[], Reliability::default()));
        assert_eq!(on.sent, off.sent, "{policy}");
        assert_eq!(on.figures, off.figures, "{policy}");
        assert_eq!(on.attempts.failed, 0, "{policy}: {:?}", on.attempts);
    }
}

/// Worlds in which requests wait for memory and seats. That is no worker's failure.
#[test]
fn a_cramped_fleet_without_faults_is_the_same_with_and_without() {
    let mut differ = Vec::new();
    for &policy in PolicyConfig::ALL {
        for sessions in [20, 120] {
            let workload = || workload(&spec(800, Arrivals::Closed { sessions }), 16, 3);
            let plain = scenario(3, policy, profile(16, Some(9_000)));
            let on = Scenario { reliability: Reliability::on(), ..plain.clone() };
            let play = |scenario: &Scenario| {
                run(scenario, workload(), Observers::default()).expect("a world that can be")
            };
            let (on, off) = (play(&on), play(&plain));
            if on.attempts.failed > 0 || on.engines != off.engines {
                differ.push(format!("{policy} {sessions}: {:?}", on.attempts));
            }
        }
    }
    assert!(differ.is_empty(), "{}: {differ:#?}", differ.len());
}

#[test]
fn the_record_of_a_failing_fleet_replays() {
    let slow = Fault { factor: Some(20.0), ..fault(FaultKind::WorkerSlow, 10.0) };
    let gone = Fault { at_s: 25.0, worker: Some(2), ..fault(FaultKind::WorkerGone, 3.0) };
    let played = play(&world(4, PolicyConfig::KvAware, &[slow, gone], Reliability::on()));
    assert!(played.attempts.again > 0);
    let done = replay(played.lines.iter()).expect("it replays");
    assert_eq!(done.decisions as usize, played.sent.len());
}

/// Any rule, any faults, also of most workers at once. The world's checkers hold that no request is lost
/// and no token comes twice; a request that is given up says why.
#[test]
fn random_failing_worlds_keep_their_invariants_and_replay() {
    let (mut again, mut resumed, mut given_up, mut answered) = (0, 0, 0, 0);
    for seed in 0..150 {
        let mut rng = Rng::named(seed, &[]);
        let mut pick = |count: usize| rng.below(count as u64) as usize;
        let workers = [1, 3, 4, 6][pick(4)];
        let kinds = [
            FaultKind::WorkerGone,
            FaultKind::WorkerFrozen,
            FaultKind::WorkerSlow,
            FaultKind::WorkerFailing,
        ];
        let faults: Vec<Fault> = (0..1 + pick(6))
            .map(|_| {
                let kind = kinds[pick(4)];
                let factor = (kind == FaultKind::WorkerSlow).then(|| [2.0, 20.0, 333.3][pick(3)]);
                let worker = Some(pick(workers as usize) as u32);
                let (at_s, for_s) = (pick(200) as f64 / 10.0, [0.3, 2.5, 15.0][pick(3)]);
                Fault { at_s, for_s, kind, worker, factor, share: None }
            })
            .collect();
        let policy = PolicyConfig::ALL[pick(PolicyConfig::ALL.len())];
        let mut scenario = world(workers, policy, &faults, Reliability::on());
        scenario.groups[0].profile.hbm_tokens = [None, Some(9_000)][pick(2)];
        let sessions = [2, 15, 40][pick(3)];
        let header = Header::new(policy, 0).with_reliability(scenario.reliability);
        let mut lines = vec![line(&header)];
        let mut push = |entry: &Entry| lines.push(line(entry));
        let observers = Observers { record: Some(&mut push), ..Observers::default() };
        let workload = workload(&spec(200, Arrivals::Closed { sessions }), 16, seed);
        let played = std::panic::AssertUnwindSafe(|| run(&scenario, workload, observers));
        let outcome = std::panic::catch_unwind(played)
            .unwrap_or_else(|_| panic!("seed {seed} broke an invariant: {policy}, {faults:?}"))
            .expect("a world that can be");
        replay(lines.iter()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let figures = outcome.recorder.figures(16, 4, &Slo { ttft_s: 1.0, tpot_s: 0.1 });
        assert_eq!(figures.requests + figures.errors, 200, "seed {seed}");
        again += outcome.attempts.again;
        resumed += outcome.attempts.resumed;
        given_up += figures.errors;
        answered += figures.requests;
    }
    println!("{answered} answered, {given_up} given up, {again} tried again, {resumed} resumed");
    assert!(again > 200 && resumed > 20 && given_up > 50, "{again}, {resumed}, {given_up}");
}

#[test]
fn a_fault_of_a_worker_that_is_not_there_is_rejected() {
    let far = Fault { worker: Some(4), ..fault(FaultKind::WorkerFrozen, 1.0) };
    let scenario = world(4, PolicyConfig::KvAware, &[far], Reliability::on());
    let spec = spec(1, Arrivals::Closed { sessions: 1 });
    let error = run(&scenario, workload(&spec, 16, 1), Observers::default()).expect_err("no w4");
    assert!(matches!(error, RunError::Fault(_)));
    assert_eq!(error.to_string(), "fault 1: worker: 4, expected less than 4, the workers");
}
