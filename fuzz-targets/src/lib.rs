//! One function for each kind of input that comes from outside: bytes in, a panic if something is wrong.
//! `fuzz/` gives them to libFuzzer. `tests/mutated.rs` gives them mutated seeds in CI.
//!
//! A target has the same result each time for the same bytes. Its input is small, so it ends in time and
//! memory if the program does; the callers measure both.

mod answers;
mod bodies;
mod choices;
mod cli;
mod errors;
mod feed;
mod kv_events;
mod messages;
mod records;
mod scratch;
mod seeds;
mod toml;
mod traces;

/// A kind of input.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name, also of the fuzz target.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Inputs to begin with: each does something useful.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const ALL: [Target; 9] = [
    Target { name: "traces", run: traces::run, seeds: traces::seeds },
    Target { name: "toml", run: toml::run, seeds: toml::seeds },
    Target { name: "messages", run: messages::run, seeds: messages::seeds },
    Target { name: "feed", run: feed::run, seeds: feed::seeds },
    Target { name: "kv_events", run: kv_events::run, seeds: kv_events::seeds },
    Target { name: "records", run: records::run, seeds: records::seeds },
    Target { name: "bodies", run: bodies::run, seeds: bodies::seeds },
    Target { name: "answers", run: answers::run, seeds: answers::seeds },
    Target { name: "cli", run: cli::run, seeds: cli::seeds },
];

/// Runs the target with this name. Panics if there is none.
pub fn run(name: &str, bytes: &[u8]) {
    let target = ALL.iter().find(|target| target.name == name);
    (target.expect("the name of a target").run)(bytes);
}
