//! Worlds in which the feeds of workers fail, workers are told to end, or nothing gets through to them. Each promise
//! has its control.

use crate::common::{profile, scenario, spec, workload};
use warmpath_core::id::WorkerId;
use warmpath_core::report::Figures;
use warmpath_core::report::Slo;
use warmpath_core::routing::Reliability;
use warmpath_core::routing::input::Action;
use warmpath_core::routing::policy::{PolicyConfig, Warmpath};
use warmpath_core::routing::record::Entry;
use warmpath_core::time::Duration;
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_sim::{Fault, FaultKind, FeedCounts, Observers, Outcome, Scenario, run};

const WORKERS: u32 = 4;
const FAULT_S: f64 = 5.0;

fn fault(kind: FaultKind, worker: u32, at_s: f64, for_s: f64) -> Fault {
    Fault { at_s, for_s, kind, worker: Some(worker), factor: None, share: None }
}

fn rules() -> [PolicyConfig; 2] {
    [PolicyConfig::KvAware, Warmpath::DEFAULT.into()]
}

struct Played {
    outcome: Outcome,
    figures: Figures,
    feeds: FeedCounts,
    /// The longest time to the first token, in seconds.
    worst_s: f64,
    /// When each attempt was sent, in seconds, and where to.
    sent: Vec<(f64, WorkerId)>,
}

/// Sessions come in an open loop for about 25 s. Memories are cramped, so blocks come and go.
fn play(policy: PolicyConfig, faults: &[Fault], what: Reliability) -> Played {
    let mut plain = scenario(WORKERS, policy, profile(16, Some(20_000)));
    (plain.faults, plain.reliability) = (faults.to_vec(), what);
    play_scenario(&plain)
}

fn play_scenario(scenario: &Scenario) -> Played {
    let spec = spec(2_000, Arrivals::Poisson { sessions_per_s: 16.0 });
    let mut sent = Vec::new();
    let mut push = |entry: &Entry| {
        for action in &entry.actions {
            if let Action::Dispatch { decision, .. } = action {
                sent.push((entry.now.as_secs_f64(), decision.worker));
            }
        }
    };
    let observers = Observers { record: Some(&mut push), rows: true, ..Observers::default() };
    let mut outcome =
        run(scenario, workload(&spec, 16, 5), observers).expect("a world that can be");
    let figures = outcome.recorder.figures(16, 4, &Slo { ttft_s: 1.0, tpot_s: 0.1 });
    let feeds = outcome.feeds.unwrap_or_default();
    let rows = outcome.recorder.take_rows();
    let worst_s = rows.iter().filter_map(|row| Some(row.ttft()?.as_secs_f64())).fold(0.0, f64::max);
    Played { outcome, figures, feeds, worst_s, sent }
}

/// How many attempts went to a worker in this time.
fn sent_to(played: &Played, worker: u32, from_s: f64, to_s: f64) -> usize {
    let there =
        |(at, id): &&(f64, WorkerId)| (from_s..to_s).contains(at) && *id == WorkerId(worker);
    played.sent.iter().filter(there).count()
}

fn share(wrong: u64, of: u64) -> f64 {
    wrong as f64 / of.max(1) as f64
}

#[test]
fn an_index_is_right_a_second_after_messages_were_lost_doubled_and_reordered() {
    let of = |kind, share| {
        (0..WORKERS)
            .map(move |worker| Fault { share: Some(share), ..fault(kind, worker, FAULT_S, 10.0) })
    };
    let mut faults: Vec<Fault> = of(FaultKind::FeedLossy, 0.1).collect();
    faults.extend(of(FaultKind::FeedDoubled, 0.05));
    faults.extend(of(FaultKind::FeedReordered, 0.05));
    for policy in rules() {
        let Played { feeds, figures, .. } = play(policy, &faults, Reliability::default());
        let during = share(feeds.troubled_wrong, feeds.troubled);
        let steady = share(feeds.steady_wrong, feeds.steady);
        println!("{policy}: {during:.4} wrong during, {steady:.4} otherwise; {feeds:?}");
        assert!(feeds.lost > 100 && feeds.doubled > 50 && feeds.reordered > 50, "{feeds:?}");
        assert!(feeds.gaps > 20 && feeds.troubled > 500 && feeds.steady > 500, "{feeds:?}");
        assert!(feeds.longest_wrong <= Duration::from_millis(1_000), "{:?}", feeds.longest_wrong);
        assert!(feeds.longest_wrong > Duration::from_millis(1), "it was wrong at all");
        assert!(during <= 0.05 && steady <= 0.005, "{policy}: {during}, {steady}");
        assert_eq!((figures.errors, feeds.lost_workers), (0, 0));
        // The control of the measure: an index that hears nothing for a while expects what has gone. For longer, and
        // the worker would count as lost.
        let apart = (0..4 * WORKERS).map(|i| {
            fault(FaultKind::FeedCut, i % WORKERS, FAULT_S + 2.5 * f64::from(i / WORKERS), 1.7)
        });
        let apart: Vec<Fault> = apart.collect();
        let deaf = play(policy, &apart, Reliability::default()).feeds;
        let control = share(deaf.troubled_wrong, deaf.troubled);
        println!("{policy}: {control:.4} wrong while nothing is heard");
        assert!(control > 3.0 * during, "{policy}: {control}, {during}");
    }
}

#[test]
fn the_blocks_of_a_life_that_ended_are_forgotten() {
    // A fault of a feed, so that feeds are played.
    let feed = Fault { share: Some(0.01), ..fault(FaultKind::FeedLossy, 0, FAULT_S, 0.1) };
    let deaths = (0..8)
        .map(|i| fault(FaultKind::WorkerGone, i % WORKERS, FAULT_S + 1.5 * f64::from(i), 0.5));
    let faults: Vec<Fault> = deaths.chain([feed]).collect();
    for policy in rules() {
        let played = play(policy, &faults, Reliability::on());
        assert_eq!(played.outcome.lost_engines.len(), 8);
        assert_eq!(played.figures.errors, 0, "{:?}", played.figures.errors_by_reason);
        let stale = played.feeds.longest_stale;
        println!("{policy}: blocks of an ended life stayed for {stale:?}, {:?}", played.feeds);
        assert!(stale <= Duration::from_millis(200) && stale > Duration::ZERO, "{stale:?}");
    }
    // The control: where the router cannot hear of the death, they stay until it finds the worker silent.
    let deaf = [
        fault(FaultKind::FeedCut, 1, FAULT_S, 3.0),
        fault(FaultKind::WorkerGone, 1, FAULT_S + 0.01, 2.5),
    ];
    let stale = play(PolicyConfig::KvAware, &deaf, Reliability::on()).feeds.longest_stale;
    let (least, most) = (Duration::from_millis(1_500), Duration::from_millis(2_100));
    assert!(stale > least && stale < most, "{stale:?}");
}

#[test]
fn workers_that_are_told_to_end_break_no_answer() {
    let each = |kind, for_s| -> Vec<Fault> {
        (0..WORKERS).map(|i| fault(kind, i, FAULT_S + 4.0 * f64::from(i), for_s)).collect()
    };
    for policy in rules() {
        let drained = play(policy, &each(FaultKind::WorkerDrain, 3.5), Reliability::on());
        println!("{policy}: {:?}", drained.outcome.attempts);
        assert_eq!(drained.figures.errors, 0, "{:?}", drained.figures.errors_by_reason);
        assert_eq!(drained.outcome.lost_engines.len(), WORKERS as usize, "each came back");
        let counts = drained.outcome.attempts;
        assert_eq!((counts.resumed, counts.timed_out), (0, 0), "{counts:?}");
        for i in 0..WORKERS {
            let told = FAULT_S + 4.0 * f64::from(i);
            assert_eq!(sent_to(&drained, i, told + 0.001, told + 3.5), 0, "{policy}: w{i} drains");
            assert!(sent_to(&drained, i, told - 1.0, told) > 5, "{policy}: w{i} before");
        }
        // The controls: with too little time, or none.
        for faults in [each(FaultKind::WorkerDrain, 0.02), each(FaultKind::WorkerGone, 3.5)] {
            let broken = play(policy, &faults, Reliability::on());
            assert!(broken.outcome.attempts.resumed > 0, "{policy}: the control");
        }
    }
}

#[test]
fn a_worker_that_is_not_reached_costs_no_request() {
    let apart = [fault(FaultKind::WorkerUnreachable, 1, FAULT_S, 12.0)];
    let (from, to) = (FAULT_S + 2.5, FAULT_S + 12.0);
    for policy in rules() {
        let on = play(policy, &apart, Reliability::on());
        println!("{policy}: {:?} {:?}", on.outcome.attempts, on.feeds);
        assert_eq!(on.figures.errors, 0, "{:?}", on.figures.errors_by_reason);
        assert_eq!(on.feeds.lost_workers, 1);
        assert_eq!(sent_to(&on, 1, from, to), 0, "{policy}: it is lost");
        assert!(sent_to(&on, 1, to + 5.0, 1e9) > 20, "{policy}: it is back");
        assert!(on.outcome.attempts.resumed > 0, "{policy}: answers go on elsewhere");
        let off = play(policy, &apart, Reliability::default());
        let (with, without) = (on.worst_s, off.worst_s);
        println!("{policy}: the worst waited {with:.2} s, {without:.2} s without");
        assert!(with < 6.0 && without > 9.0, "{policy}: {with}, the control {without}");
    }
}

#[test]
fn a_feed_that_is_cut_costs_no_answer() {
    let cut = [fault(FaultKind::FeedCut, 1, FAULT_S, 8.0)];
    for policy in rules() {
        let played = play(policy, &cut, Reliability::on());
        assert_eq!(played.figures.errors, 0, "{:?}", played.figures.errors_by_reason);
        assert_eq!(played.feeds.lost_workers, 1, "{:?}", played.feeds);
        assert_eq!(sent_to(&played, 1, FAULT_S + 2.05, FAULT_S + 8.0), 0, "{policy}");
        assert!(sent_to(&played, 1, FAULT_S, FAULT_S + 1.7) > 10, "{policy}: not lost yet");
        assert!(sent_to(&played, 1, FAULT_S + 13.0, 1e9) > 20, "{policy}: it is back");
        assert_eq!(played.outcome.attempts.resumed, 0, "{policy}: calls go on");
        let back = played.feeds.longest_lost;
        assert!(back <= Duration::from_millis(4_100), "{back:?}");
    }
}
