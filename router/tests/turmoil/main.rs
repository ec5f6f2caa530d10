//! The real router and the real workers under a simulated network in virtual time. A seed says everything: the
//! fleet, the questions, and what goes wrong. `WARMPATH_SEED=123` replays one and prints it;
//! `WARMPATH_SOAK=1` plays ten times as many.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod fleet;
mod lossy;
mod network;
mod plan;
mod settled;

use fleet::{Counts, Outcome, run};
use plan::Plan;
use std::cell::Cell;
use std::sync::Once;
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

/// Another stream of seeds for other tests would only cost time: these are the ones of a run.
fn seeds() -> u64 {
    match std::env::var("WARMPATH_SOAK").is_ok() {
        true => 20_000,
        false => 2_000,
    }
}

fn play(seed: u64) -> Outcome {
    run(Plan::draw(seed), ReliabilityConfig::default())
}

/// Plays seeds, and gives what was wrong.
fn play_all(seeds: impl Iterator<Item = u64>, all: &mut Counts) -> Vec<String> {
    let mut wrong = Vec::new();
    for seed in seeds {
        let outcome = play(seed);
        all.add(&outcome.counts);
        if !outcome.violations.is_empty() {
            let what = outcome.violations.join("\n  ");
            wrong.push(format!("WARMPATH_SEED={seed} replays:\n  {what}"));
        }
    }
    wrong
}

#[test]
fn explore() {
    let Ok(range) = std::env::var("WARMPATH_SEEDS") else { return };
    let (from, to) = range.split_once("..").unwrap();
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    let begun = std::time::Instant::now();
    let threads: Vec<_> = (0..2)
        .map(|part| {
            std::thread::spawn(move || {
                let mut all = Counts::default();
                let wrong = play_all((from..to).filter(|seed| seed % 2 == part), &mut all);
                (wrong, all)
            })
        })
        .collect();
    let mut count = 0;
    for thread in threads {
        let (wrong, all) = thread.join().unwrap();
        count += wrong.len();
        for wrong in wrong.iter() {
            println!("{wrong}");
        }
        println!("{all:?}");
    }
    println!("{count} wrong, {:?}", begun.elapsed());
}

#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("WARMPATH_SEED") else { return };
    let seed = seed.parse().unwrap();
    if std::env::var_os("RUST_LOG").is_some() {
        warmpath_launch::process::log_to_stderr();
    }
    let outcome = play(seed);
    println!("{:#?}\n{}\n{:?}", Plan::draw(seed), outcome.text, outcome.counts);
    println!("{:?}", outcome.violations);
}

#[test]
fn a_seed_replays_byte_for_byte() {
    for seed in 0..20 {
        let [first, second] = [play(seed), play(seed)];
        assert_eq!(first.text, second.text, "{seed}");
        assert_eq!(first.digest, second.digest, "{seed}");
    }
}
