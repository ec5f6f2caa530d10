//! How many instructions fixed pieces of work take, held within a tenth of what is written down in
//! `counts.txt`. A gate against slips that no noisy clock would show: a walk that became linear, a
//! copy that crept in. It says nothing about seconds; `hearts` does.
//!
//! ```text
//! cargo bench -p warmpath-core --bench counts                    compare
//! UPDATE_COUNTS=1 cargo bench -p warmpath-core --bench counts    write down
//! ```
//!
//! Runs itself under valgrind's callgrind once for each piece; only [`counted`] counts. Counts are
//! of one compiler (`rust-version`), of x86-64, and of what valgrind shows of the processor: it
//! hides AVX-512, so BLAKE3 and the C library choose alike wherever there is AVX2.

// A bench is a shell: it reads its arguments and a file, and starts valgrind.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{Deciding, Hashing, Indexed, Stepping};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use warmpath_core::routing::index::Overlap;
use warmpath_core::routing::policy::PolicyConfig;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts.txt");
/// Per cent, either way: what became much cheaper is to be written down too.
const SLACK: u64 = 10;

/// By name.
const PIECES: &[(&str, fn())] = &[
    ("hash", hash),
    ("hash-short", hash_short),
    ("lookup", lookup),
    ("update", update),
    ("decision-64", decision),
    ("decision-1024", decision_in_a_large_fleet),
    ("shadow-64", decision_with_a_shadow),
    ("step", step),
];

/// What callgrind collects.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) {
    black_box(work());
}

fn hash() {
    let hashing = Hashing::new();
    counted(|| hashing.run());
}

/// Short prompts, each with a scope of its own as in a router: keys cost more than blocks here.
fn hash_short() {
    let hashing = Hashing::new();
    counted(|| (0..100).for_each(|_| drop(black_box(hashing.run_short()))));
}

fn lookup() {
    let indexed = Indexed::new(64, 64, 8);
    let mut overlap = Overlap::default();
    counted(|| {
        for prompt in &indexed.prompts {
            indexed.index.overlap(prompt, &mut overlap);
        }
    });
}

fn update() {
    let mut indexed = Indexed::new(64, 64, 8);
    counted(|| (0..200).for_each(|_| indexed.update()));
}

fn decision() {
    decisions(Deciding::new(64, PolicyConfig::KvAware));
}

fn decision_in_a_large_fleet() {
    decisions(Deciding::new(1_024, PolicyConfig::KvAware));
}

/// With another rule that is asked beside it.
fn decision_with_a_shadow() {
    let mut deciding = Deciding::new(64, PolicyConfig::KvAware);
    deciding.router = deciding.router.with_shadows(&[PolicyConfig::Warmpath]);
    decisions(deciding);
}

fn decisions(mut deciding: Deciding) {
    let decide = |deciding: &mut Deciding| {
        deciding.settle();
        let request = deciding.request();
        deciding.decide(request);
    };
    (0..100).for_each(|_| decide(&mut deciding));
    counted(|| (0..100).for_each(|_| decide(&mut deciding)));
}

fn step() {
    let stepping = Stepping::new();
    counted(|| stepping.run());
}

fn main() -> ExitCode {
    let name = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    if let Some(name) = name {
        let (_, piece) = PIECES.iter().find(|(known, _)| *known == name).expect("a piece's name");
        piece();
        return ExitCode::SUCCESS;
    }
    match gate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("counts: {why}");
            ExitCode::FAILURE
        }
    }
}

fn gate() -> Result<(), String> {
    let mut counts = BTreeMap::new();
    for (name, _) in PIECES {
        counts.insert(*name, count(name)?);
    }
    if std::env::var("UPDATE_COUNTS").is_ok() {
        let lines: Vec<_> =
            counts.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        return std::fs::write(FILE, lines.concat()).map_err(|error| format!("{FILE}: {error}"));
    }
    let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let parts = line.split_once(' ').and_then(|(name, n)| Some((name, n.parse().ok()?)));
        let (name, count) =
            parts.ok_or_else(|| format!("{FILE}:{}: '{line}', expected NAME COUNT", i + 1))?;
        known.insert(name, count);
    }
    let mut out_of_bounds = Vec::new();
    for (name, &now) in &counts {
        let Some(&then) = known.get(name) else {
            return Err(format!("{FILE}: no line for {name}, expected one; see CONTRIBUTING.md"));
        };
        let percent = now as f64 / then as f64 * 100.0 - 100.0;
        println!("{name:12} {now:>12} instructions, {percent:+.1} % against {then}");
        if now.abs_diff(then) * 100 > then * SLACK {
            out_of_bounds.push(format!("{name} {percent:+.1} %"));
        }
    }
    if out_of_bounds.is_empty() {
        return Ok(());
    }
    let which = out_of_bounds.join(", ");
    Err(format!("{which}: more than {SLACK} % off; mend it, or write it down with UPDATE_COUNTS=1"))
}

/// Instructions that one piece takes.
fn count(name: &str) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    // The name is mangled, in one of two ways.
    valgrind.args(["--demangle=no", "--collect-atstart=no", "--toggle-collect=*counts*7counted*"]);
    let output = valgrind.arg(own).arg(name).output();
    let output = output.map_err(|error| format!("valgrind: {error}; nothing was counted"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1));
    let count = collected.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    match output.status.success() && count > 0 {
        true => Ok(count),
        false => Err(format!("{name}: valgrind counted nothing:\n{said}")),
    }
}
