//! The real router and the real workers under a simulated network in virtual time. A seed says everything: the
//! fleet, the questions, and what goes wrong. `WARMPATH_SEED=123` replays one and prints it;
//! `WARMPATH_SOAK=1` plays ten times as many.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod fleet;
mod network;
mod plan;
mod settled;

use fleet::{Outcome, run};
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

fn play(seed: u64) -> Outcome {
    run(Plan::draw(seed), ReliabilityConfig::default())
}

#[test]
fn a_seed_replays_byte_for_byte() {
    let [first, second] = [play(1), play(1)];
    assert_eq!(first.text, second.text);
    assert_eq!(first.digest, second.digest);
    println!("{}", first.text);
    println!("{:?}", first.counts);
    assert!(first.violations.is_empty(), "{:?}", first.violations);
}
