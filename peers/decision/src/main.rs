//! A whole decision beside Dynamo's: `cargo run --release -p peers-decision`.
//!
//! Both sides route the requests of a recorded trace: they look the prompt up, choose a worker and book the request.
//! Ours is [`Router::apply`](warmpath_core::routing::Router::apply), with our rule kv-aware and with our form of their
//! rule. Theirs are the crate's index, its tracker of requests under way and its selector. Naming the blocks is no part
//! of it on either side.
//!
//! First the sides are compared: with the same events, both must find the same blocks on each worker. Then they are
//! timed in turns, a thousand decisions each. A clock is read around each decision. A round's figure is its mean
//! without the slowest hundredth, which is where the machine did something else.

mod fleet;
mod ours;
mod theirs;

use fleet::{Fleet, Side};
use ours::Ours;
use peers_table::{Good, Measured, head, row, trace_path};
use std::error::Error;
use std::process::ExitCode;
use std::slice;
use theirs::Theirs;
use warmpath_core::routing::policy::PolicyConfig;

/// Tokens of a block of the trace.
const BLOCK: u32 = 512;
/// Decisions of a round.
const ROUND: usize = 1_000;
/// Decisions before the first round.
const WARM_UP: usize = 2_000;
/// Our rules, and whether the goal is for this one: the rule that we compare, and our form of theirs.
const RULES: [(&str, bool); 2] = [("kv-aware", true), ("dynamo", false)];
/// The workers of each row, whether Dynamo is measured too, and what is wanted.
const ROWS: [(u32, bool, &str); 5] = [
    (8, true, "3"),
    (64, true, "3"),
    (256, true, "3"),
    (1_024, false, "under 10"),
    (4_096, false, "under 25"),
];

/// A request of the trace.
pub struct Recorded {
    /// Names of its blocks, as the trace numbers them.
    blocks: Vec<u64>,
    /// Tokens of its prompt and of its answer.
    tokens: (usize, u32),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers-decision: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let path = trace_path();
    if !path.exists() {
        println!("skipped: there is no trace {}; WARMPATH_TRACES names its folder", path.display());
        return Ok(());
    }
    let trace = read(&std::fs::read_to_string(&path)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    for workers in [8, 64] {
        let checked = compare(workers, &trace[..WARM_UP]);
        println!("{checked} look-ups over {workers} workers found the same blocks on both sides");
    }
    head();
    for (workers, beside, wanted) in ROWS {
        let mut sides: Vec<Box<dyn Side>> = Vec::new();
        for (rule, _) in RULES {
            sides.push(Box::new(Ours::new(workers, rule.parse()?)));
        }
        if beside {
            sides.push(Box::new(Theirs::new(workers)));
        }
        let measured = in_turns(workers, sides, &trace);
        let (ours, theirs) = measured.split_at(RULES.len());
        for ((rule, goal), ours) in RULES.into_iter().zip(ours) {
            let what = format!("decision by {rule}, {workers} workers");
            let sides = [slice::from_ref(ours), theirs].concat();
            row(&what, "us", Good::Low, &sides, if goal { wanted } else { "-" });
        }
    }
    Ok(())
}

/// A round of each side, then the next round, until the trace ends.
fn in_turns(workers: u32, sides: Vec<Box<dyn Side>>, trace: &[Recorded]) -> Vec<Measured> {
    let fleet = |side| Fleet::new(workers, side, trace);
    let mut fleets: Vec<Fleet<'_>> = sides.into_iter().map(fleet).collect();
    fleets.iter_mut().for_each(|fleet| drop(fleet.play(WARM_UP)));
    let mut figures = vec![Vec::new(); fleets.len()];
    for _ in 0..(trace.len() - WARM_UP) / ROUND {
        for (fleet, figures) in fleets.iter_mut().zip(&mut figures) {
            figures.push(figure(fleet.play(ROUND)));
        }
    }
    let names = fleets.iter().map(Fleet::name);
    names.zip(figures).map(|(name, all)| Measured::new(name, all)).collect()
}

/// Microseconds of a decision, without the slowest hundredth.
fn figure(mut nanoseconds: Vec<u64>) -> f64 {
    nanoseconds.sort_unstable();
    let most = &nanoseconds[..nanoseconds.len() * 99 / 100];
    most.iter().sum::<u64>() as f64 / most.len() as f64 / 1e3
}

/// Lets ours decide, tells both what becomes of it, and compares what both find. Returns how many look-ups.
fn compare(workers: u32, trace: &[Recorded]) -> usize {
    let mut theirs = Theirs::new(workers);
    let ours = Ours::new(workers, PolicyConfig::KvAware);
    let mut ours = Fleet::new(workers, Box::new(ours), trace);
    for (number, recorded) in trace.iter().enumerate() {
        let prompt = fleet::prompt(number, recorded);
        assert_eq!(
            ours.held(&prompt),
            theirs.held(&prompt),
            "request {number} of {workers} workers"
        );
        ours.play(1);
        for (worker, stored, from) in ours.take_stored() {
            theirs.stored(worker, &stored, from);
        }
    }
    trace.len()
}

fn read(text: &str) -> Result<Vec<Recorded>, Box<dyn Error>> {
    let line = |(i, line): (usize, &str)| {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let number = |key: &str| {
            let value = row[key].as_u64();
            value.ok_or_else(|| format!("line {}: no {key}, expected a number", i + 1))
        };
        let tokens = (number("input_length")? as usize, number("output_length")? as u32);
        let ids = row["hash_ids"].as_array().ok_or("no hash_ids, expected a list")?;
        let blocks: Option<Vec<u64>> = ids.iter().map(serde_json::Value::as_u64).collect();
        let blocks = blocks.ok_or_else(|| format!("line {}: hash_ids, expected numbers", i + 1))?;
        Ok(Recorded { blocks, tokens })
    };
    text.lines().enumerate().map(line).collect()
}
