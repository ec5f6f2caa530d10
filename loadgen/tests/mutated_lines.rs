//! Mutated command lines and files against the real program.
//!
//! Whatever it is given, the program ends by itself with status 0, 1 or 2, in 8 s of processor time and
//! 1 GiB of address space. Bad input is one line on standard error. Only the errors of a TOML file may be
//! several: each is then `error: FILE:LINE: ...`.
//!
//! `WARMPATH_MUTATIONS` sets how many cases are run, `WARMPATH_MUTATIONS_SEED` the seed, and
//! `WARMPATH_MUTATIONS_ONLY` the number of the one case to run.

#[path = "mutated_lines/cases.rs"]
mod cases;
mod common;
#[path = "mutated_lines/random.rs"]
mod random;

use cases::{Case, bases};
use random::Random;
use std::path::Path;
use std::process::{Command, Output};

const USUAL: u64 = 200;
const CPU_S: u64 = 8;
const MEMORY_KIB: u64 = 1 << 20;

#[test]
fn mutated_input_ends_in_time_with_a_status_and_a_line() {
    let set = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = set("WARMPATH_MUTATIONS_SEED").unwrap_or(1);
    let numbers = match set("WARMPATH_MUTATIONS_ONLY") {
        Some(only) => only..only + 1,
        None => 0..set("WARMPATH_MUTATIONS").unwrap_or(USUAL),
    };
    let folder = tempfile::tempdir().expect("a folder for files");
    let bases = bases(folder.path());
    let mut faults = Vec::new();
    let mut statuses = [0; 3];
    for number in numbers {
        let mut random = Random::new(seed, number);
        let case = bases[random.below(bases.len())].mutated(&mut random);
        let here = folder.path().join(number.to_string());
        let output = play(&here, &case);
        match fault(&output) {
            Some(why) => faults
                .push(format!("case {number} of seed {seed}: {why}\n{}", shown(&case, &output))),
            None => statuses[output.status.code().unwrap_or_default() as usize] += 1,
        }
        std::fs::remove_dir_all(&here).expect("the case's folder");
        if faults.len() >= 20 {
            break;
        }
    }
    println!("status 0: {}, 1: {}, 2: {}", statuses[0], statuses[1], statuses[2]);
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn play(here: &Path, case: &Case) -> Output {
    std::fs::create_dir(here).expect("a folder for the case");
    for (name, text) in &case.files {
        std::fs::write(here.join(name), text).expect("a file of the case");
    }
    let limits = format!("ulimit -v {MEMORY_KIB} -t {CPU_S}; exec \"$0\" \"$@\"");
    Command::new("bash")
        .args(["-c", &limits, env!("CARGO_BIN_EXE_loadgen")])
        .args(&case.args)
        .current_dir(here)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("loadgen starts")
}

/// What is wrong with how the program ended.
fn fault(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let Some(status) = output.status.code() else {
        return Some(format!("ended by a signal: {}", output.status));
    };
    if text.contains("panicked at") {
        return Some("panicked".to_owned());
    }
    match status {
        0 => (!lines.is_empty()).then(|| "status 0 with an error".to_owned()),
        // A run that is not valid has its reason in the report.
        1 => (lines.len() > 1).then(|| "more than one line".to_owned()),
        2 if lines.len() == 1 => {
            (!lines[0].starts_with("error: ")).then(|| "a line of another form".to_owned())
        }
        // Without a command, the help is shown.
        2 if text.contains("Usage: loadgen") && !text.contains("error: ") => None,
        2 if !lines.is_empty() && lines.iter().all(|line| is_of_a_file(line)) => None,
        2 => Some("several lines that do not each name a line of a file".to_owned()),
        other => Some(format!("status {other}")),
    }
}

/// Whether a line is `error: FILE:LINE: ...`, or of a config.json, which has no lines.
fn is_of_a_file(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("error: ") else { return false };
    let mut parts = rest.split(':');
    let (file, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    file.ends_with("config.json") || number.parse::<u32>().is_ok()
}

fn shown(case: &Case, output: &Output) -> String {
    let mut text = format!("loadgen {:?}\n", case.args);
    for (name, bytes) in &case.files {
        text += &format!("--- {name}\n{}\n", String::from_utf8_lossy(bytes));
    }
    let error: String = String::from_utf8_lossy(&output.stderr).chars().take(1000).collect();
    text + "--- standard error\n" + &error
}
