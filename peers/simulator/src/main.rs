//! The simulator beside two others, with the same requests: `aisimulate-core`, the simulator behind Dynamo's
//! mocker, on a trace and several workers; `inference-lab` on drawn requests. Each row is CPU time of whole runs, in turns.
//!
//! ```sh
//! cargo run --release -p peers-simulator -- [ROUNDS]
//! ```
//!
//! The trace is Mooncake's conversation trace, see `peers/README.md`. Step times differ, since each simulator has its own
//! model of them; fleets, requests and the rule are the same. So the work is alike and not equal: the runs print how many requests
//! they answered, and what was cached.

mod drawn;
mod ours;
mod replayed;

use anyhow::Result;
use peers_table::{Good, Side, per_second, row, seconds_each};
use std::cell::RefCell;
use std::path::Path;

const AISIMULATE: &str = "aisimulate-core 0.13.0";
const INFERENCE_LAB: &str = "inference-lab 1.0.0";
const WORKERS: u32 = 8;

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(5), |rounds| rounds.parse())?;
    peers_table::head();
    let path = peers_table::trace_path();
    for (block, wanted) in [(512, "40"), (16, "60")] {
        on_a_trace(&path, block, rounds, wanted)?;
    }
    for (requests, servers) in [(10_000, 1), (100_000, WORKERS)] {
        on_drawn_requests(requests, servers, rounds)?;
    }
    Ok(())
}

fn on_a_trace(path: &Path, block: u32, rounds: usize, wanted: &str) -> Result<()> {
    let trace = replayed::read(path, block)?;
    let seen = RefCell::new([None, None]);
    let ours = || {
        let ran = replayed::ours(&trace, block, WORKERS).expect("a run");
        seen.borrow_mut()[0] = Some(ran);
        1.0
    };
    let theirs = || {
        let ran = replayed::theirs(path, block, WORKERS).expect("a run");
        seen.borrow_mut()[1] = Some(ran);
        1.0
    };
    let sides = vec![Side::new("warmpath", ours), Side::new(AISIMULATE, theirs)];
    let measured = seconds_each(rounds, sides);
    let what = format!("conversation trace, {WORKERS} workers, round robin, blocks of {block}");
    row(&what, "CPU s a run", Good::Low, &measured, wanted);
    let [ours, theirs] = seen.into_inner().map(|ran| ran.expect("it ran"));
    eprintln!("{what}: warmpath {ours}; {AISIMULATE} {theirs}");
    anyhow::ensure!(ours.answered == theirs.answered, "both answer all requests");
    Ok(())
}

fn on_drawn_requests(requests: usize, servers: u32, rounds: usize) -> Result<()> {
    let drawn = drawn::play(requests, servers)?;
    let works = ours::works(&drawn);
    let ours = || ours::play(&works, servers).expect("a run") as f64;
    let theirs = || drawn::play(requests, servers).expect("a run").lengths.len() as f64;
    let sides = vec![Side::new("warmpath", ours), Side::new(INFERENCE_LAB, theirs)];
    let measured = per_second(rounds, sides);
    let what =
        format!("{requests} requests of their own drawing on {servers} server(s), round robin");
    row(&what, "requests/s of CPU", Good::High, &measured, "5");
    Ok(())
}
