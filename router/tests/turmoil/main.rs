//! The real router and the real workers under a simulated network in virtual time. A seed says everything: the
//! fleet, the questions, and what goes wrong. `WARMPATH_SEED=123` replays one and prints it, `WARMPATH_SEEDS=0..100`
//! plays these, `WARMPATH_SOAK=1` ten times as many as else.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod faults;
mod fleet;
mod lossy;
mod network;
mod plan;
mod settled;

use common::faulty::Trouble;
use fleet::{Clocks, Counts, Outcome, Setting, run};
use plan::{Fault, Kind, Plan};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use warmpath_router::config::ReliabilityConfig;

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// How often something panicked in this thread. A panic in a task of a service would go unseen.
fn panics() -> u64 {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with(|panics| panics.set(panics.get() + 1));
            before(info);
        }));
    });
    PANICS.with(Cell::get)
}

/// The set that each change is tested with, a long one, or what is asked for.
fn all_seeds() -> Range<u64> {
    if let Ok(given) = std::env::var("WARMPATH_SEEDS") {
        let ends = given.split_once("..").map(|(from, to)| (from.parse(), to.parse()));
        let Some((Ok(from), Ok(to))) = ends else {
            panic!("WARMPATH_SEEDS: '{given}', expected a range such as 0..9")
        };
        return from..to;
    }
    match std::env::var_os("WARMPATH_SOAK") {
        Some(_) => 0..20_000,
        None => 0..2_000,
    }
}

fn play(seed: u64) -> Outcome {
    run(Plan::draw(seed), Setting::default())
}

/// Plays each seed of a range, on all cores.
fn on_all_cores(seeds: Range<u64>, play: impl Fn(u64) -> Outcome + Sync) -> Vec<(u64, Outcome)> {
    let (next, all) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = play(seed);
                    all.lock().unwrap().push((seed, outcome));
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// Those that went wrong in a way like this.
fn wrong(played: &[(u64, Outcome)], like: impl Fn(&str) -> bool) -> usize {
    let is = |(_, outcome): &&(u64, Outcome)| outcome.violations.iter().any(|what| like(what));
    played.iter().filter(is).count()
}

#[test]
fn no_client_loses_a_token_and_nothing_is_left() {
    if let Ok(seed) = std::env::var("WARMPATH_SEED") {
        return replay(seed.parse().expect("WARMPATH_SEED is a number"));
    }
    let (mut all, mut wrong) = (Counts::default(), Vec::new());
    let play = |seed| Outcome { text: String::new(), ..play(seed) };
    let played = on_all_cores(all_seeds(), play);
    for (seed, outcome) in &played {
        all.add(&outcome.counts);
        if !outcome.violations.is_empty() {
            let again = "cargo test -p warmpath-router --test turmoil no_client -- --nocapture";
            let what = outcome.violations.join("\n  ");
            wrong.push(format!("WARMPATH_SEED={seed} {again}\n  {what}\n"));
        }
    }
    println!("{} seeds: {all:?}", played.len());
    assert!(wrong.is_empty(), "{} seeds are wrong:\n{}", wrong.len(), wrong.concat());
    // What is to be tested happens.
    if played.len() >= 500 {
        let seeds = played.len() as u64;
        let kinds = ["crash", "stop", "hold", "cut", "delay", "drain", "calls", "router crash"];
        for kind in kinds {
            assert!(all.faults[kind] > seeds / 20, "{kind}: {:?}", all.faults);
        }
        let happened = [all.tried_again, all.resumed, all.resyncs, all.spoilt, all.late, all.left];
        assert!(happened.iter().all(|&count| count > seeds / 10), "{all:?}");
    }
}

/// One seed, with all that is known of it. `RUST_LOG=info` shows what the services log.
fn replay(seed: u64) {
    if std::env::var_os("RUST_LOG").is_some() {
        warmpath_launch::process::log_to_stderr();
    }
    let outcome = play(seed);
    println!("{:#?}\n{}{:#?}", Plan::draw(seed), outcome.text, outcome.counts);
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
}

#[test]
fn a_seed_replays_byte_for_byte() {
    let by_seed = |played: Vec<(u64, Outcome)>| played.into_iter().collect::<BTreeMap<_, _>>();
    let [first, second] = [(); 2].map(|()| by_seed(on_all_cores(0..40, play)));
    for (seed, first) in &first {
        let second = &second[seed];
        for (a, b) in first.text.lines().zip(second.text.lines()) {
            assert_eq!(a, b, "seed {seed}");
        }
        assert_eq!(first.digest, second.digest, "seed {seed}");
    }
    let different: BTreeSet<_> = first.values().map(|outcome| &outcome.digest).collect();
    assert_eq!(different.len(), 40, "each seed is another run");
}

/// No decision reads a date. Processes number their lives by it, and another time is another number.
fn changes_no_decision(clocks: Clocks) {
    let wrong = Setting { clocks, ..Setting::default() };
    for seed in 100..120 {
        let [right, wrong] = [Setting::default(), wrong].map(|how| run(Plan::draw(seed), how));
        assert_eq!(right.text, wrong.text, "seed {seed}");
        assert_ne!(right.digest, wrong.digest, "the numbers are in the messages");
    }
}

#[test]
fn a_clock_that_is_set_changes_no_decision() {
    changes_no_decision(Clocks::Set);
}

#[test]
fn a_clock_that_drifts_changes_no_decision() {
    changes_no_decision(Clocks::Drift);
}

/// The control of the comparison: it shows a question that comes one millisecond later.
#[test]
fn a_question_that_comes_later_changes_the_run() {
    for seed in 100..105 {
        let plain = run(Plan::draw(seed), Setting::default());
        let mut plan = Plan::draw(seed);
        plan.questions.iter_mut().for_each(|question| question.at_ms += 1);
        assert_ne!(plain.text, run(plan, Setting::default()).text, "seed {seed}");
    }
}

/// The control of the whole: these requests need the router's help.
#[test]
fn without_the_mechanism_requests_are_lost() {
    let off = Setting { reliability: ReliabilityConfig::OFF, ..Setting::default() };
    let played = on_all_cores(0..40, |seed| run(Plan::draw(seed), off));
    let wrong = wrong(&played, |_| true);
    println!("{wrong} of 40 seeds are wrong");
    assert!(wrong >= 10, "{wrong} of 40 seeds are wrong");
}

/// The control of the oracle.
#[test]
fn a_lost_message_of_an_answer_is_found() {
    let played = on_all_cores(0..5, |seed| {
        let mut plan = Plan::draw(seed);
        let kind = Kind::Calls(Trouble::Loses(2));
        let fault = |worker| Fault { worker, from_ms: 0, until_ms: 20_000, kind };
        plan.faults = (0..plan.room.len()).map(fault).collect();
        run(plan, Setting::default())
    });
    assert_eq!(wrong(&played, |what| what.contains("lost, doubled or wrong")), 5);
}

/// The control of the comparison between the index and the workers. Only a digest shows that a batch was robbed of
/// its events, if no other batch is missing after it.
#[test]
fn without_digests_a_wrong_index_is_found() {
    let play = |without_digests| {
        on_all_cores(0..40, |seed| {
            let mut plan = Plan::draw(seed);
            (plan.faults, plan.spoilt) = (Vec::new(), vec![Some(3); plan.room.len()]);
            run(plan, Setting { without_digests, ..Setting::default() })
        })
    };
    let of_index = |what: &str| what.contains("the index has");
    let [with, without] = [false, true].map(|without| wrong(&play(without), of_index));
    println!("{without} of 40 seeds have a wrong index without digests");
    assert_eq!(with, 0);
    assert!(without >= 5, "{without} of 40 seeds have a wrong index");
}
