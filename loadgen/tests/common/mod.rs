//! Runs the program as a person does, and reads its output.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod benchmark_report;
pub mod blind_spots;
pub mod browser;
pub mod html;
pub mod ladder;
pub mod object_store;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

pub fn loadgen(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.current_dir(folder).args(args).output().expect("loadgen starts")
}

/// What the program printed, and its JSON report. It must exit with status 0.
pub fn run(args: &[&str]) -> (String, Value) {
    let folder = tempfile::tempdir().expect("a folder for files");
    let output = loadgen(folder.path(), &[args, &["--json", "out.json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = std::fs::read_to_string(folder.path().join("out.json")).expect("a report");
    let report = serde_json::from_str(&json).expect("a report is JSON");
    (String::from_utf8_lossy(&output.stdout).into_owned(), report)
}

/// Checks that bad input gives exit status 2 and one line that contains `part`.
pub fn refused(folder: &Path, args: &[&str], part: &str) {
    let output = loadgen(folder, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(part), "{said} without {part}");
}

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

pub fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-9), "{a} against {b}");
}
