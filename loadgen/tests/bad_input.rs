//! Input that can't be used gets one line that says where and what was expected, status 2, and
//! nothing half written.

use std::path::Path;
use std::process::{Command, Output};

fn loadgen(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .current_dir(folder)
        .args(args)
        .output()
        .expect("loadgen starts")
}

/// Refused with one line that contains all of `parts`.
fn assert_refused(folder: &Path, args: &[&str], parts: &[&str]) {
    let output = loadgen(folder, args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?} said: {text}");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "{args:?} said more than one line: {text}");
    for part in parts {
        assert!(text.contains(part), "{args:?} said {text} without {part}");
    }
    assert!(output.stdout.is_empty(), "{args:?} printed a result");
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for files")
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file can be written");
}

const GOOD: &str =
    r#"{"timestamp": 0, "input_length": 600, "output_length": 4, "hash_ids": [1, 2]}"#;

#[test]
fn traces_are_refused_by_file_line_and_field() {
    let folder = folder();
    let here = folder.path();
    let cases: [(&str, &[&str]); 6] = [
        ("{oops", &["t.jsonl", "line 2", "not a JSON object"]),
        (r#"{"timestamp": 0}"#, &["t.jsonl", "line 2", "input_length", "missing"]),
        (
            r#"{"timestamp": -5, "input_length": 1, "output_length": 1, "hash_ids": [1]}"#,
            &["line 2", "timestamp", "-5", "whole number"],
        ),
        (
            r#"{"timestamp": 0, "input_length": 99999999999, "output_length": 1, "hash_ids": [1]}"#,
            &["line 2", "input_length", "99999999999"],
        ),
        (
            r#"{"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [1]}"#,
            &["line 2", "hash_ids", "need 2"],
        ),
        (
            r#"{"timestamp": 0, "input_length": 600, "output_length": 0, "hash_ids": [1, 2]}"#,
            &["line 2", "output_length", "0"],
        ),
    ];
    for (bad, parts) in cases {
        write(here, "t.jsonl", &format!("{GOOD}\n{bad}\n"));
        assert_refused(here, &["sim", "--trace", "t.jsonl"], parts);
    }
    write(here, "empty.jsonl", "\n");
    assert_refused(here, &["sim", "--trace", "empty.jsonl"], &["empty.jsonl", "no requests"]);
    assert_refused(here, &["sim", "--trace", "missing.jsonl"], &["missing.jsonl"]);
    write(here, "t.jsonl", GOOD);
    assert_refused(
        here,
        &["sim", "--trace", "t.jsonl", "--block-size", "48"],
        &["t.jsonl", "48", "512"],
    );
    assert_eq!(loadgen(here, &["sim", "--trace", "t.jsonl"]).status.code(), Some(0));
}

#[test]
fn configuration_is_refused_by_file_line_and_key() {
    let folder = folder();
    let here = folder.path();
    let scenario = include_str!("../../deploy/scenarios/default.toml");
    write(here, "s.toml", &scenario.replace("seed = 1", "sead = 1"));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:7", "sead", "seed"]);
    write(here, "s.toml", &scenario.replace("workers = 16", "workers = 0"));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:3", "workers", "0"]);
    write(here, "s.toml", &scenario.replace("ttft_s = 2.0", "ttft_s = -2.0"));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:14", "slo.ttft_s", "-2"]);
    write(here, "s.toml", &scenario.replace("\"kv-aware\"", "\"magic\""));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:6", "magic", "kv-aware"]);
    write(here, "s.toml", "workers = = 3");
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:1"]);

    let profile = include_str!("../../deploy/profiles/lab-tp2.toml");
    write(here, "p.toml", &profile.replace("max_num_seqs", "max_num_sequences"));
    assert_refused(here, &["sim", "--profile", "p.toml"], &["p.toml", "max_num_sequences"]);
    write(here, "p.toml", &profile.replace("block_size = 16", "block_size = 0"));
    assert_refused(here, &["sim", "--profile", "p.toml"], &["p.toml:6", "block_size", "0"]);

    let workload = include_str!("../../deploy/workloads/assistant.toml");
    write(here, "w.toml", &workload.replace("system_prompts = 4", "system_prompts = 0"));
    assert_refused(here, &["sim", "--workload", "w.toml"], &["w.toml:5", "system_prompts", "0"]);
}

#[test]
fn flags_are_refused_by_name() {
    let folder = folder();
    let here = folder.path();
    assert_refused(here, &["sim", "--policies", "magic"], &["magic", "round-robin", "kv-aware"]);
    assert_refused(here, &["sim", "--workers", "0"], &["workers", "0"]);
    assert_refused(here, &["sim", "--workload", "nonsense"], &["nonsense", "assistant"]);
    assert_refused(here, &["sim", "--profile", "nonsense"], &["nonsense", "lab-tp2"]);
    assert_refused(here, &["run", "--target", "localhost:1"], &["--target", "http://"]);
    // clap's own errors explain themselves in several lines; the status is the same.
    for args in [["sim", "--hbm-tokens", "0"], ["sim", "--rate-scale", "-1"]] {
        assert_eq!(loadgen(here, &args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn nothing_is_left_half_written() {
    let folder = folder();
    let here = folder.path();
    write(here, "t.jsonl", "{oops");
    assert_refused(here, &["sim", "--trace", "t.jsonl", "--json", "out.json"], &["line 1"]);
    assert_refused(here, &["sim", "--json", "no/such/folder/out.json"], &["out.json"]);
    let left: Vec<_> = std::fs::read_dir(here).expect("the folder is there").collect();
    assert_eq!(left.len(), 1, "only the trace is left: {left:?}");
}

#[test]
fn a_log_that_was_changed_does_not_replay() {
    let folder = folder();
    let here = folder.path();
    write(here, "t.jsonl", &format!("{GOOD}\n{GOOD}\n"));
    let output =
        loadgen(here, &["sim", "--trace", "t.jsonl", "--policies", "kv-aware", "--record", "logs"]);
    assert!(output.status.success());
    let whole = loadgen(here, &["replay", "logs/kv-aware.jsonl"]);
    assert_eq!((whole.status.code(), whole.stderr.len()), (Some(0), 0));
    let log = std::fs::read_to_string(here.join("logs/kv-aware.jsonl")).expect("a log");
    let lines: Vec<_> = log.lines().collect();
    write(here, "cut.jsonl", &lines[..lines.len() - 3].join("\n"));
    let output = loadgen(here, &["replay", "cut.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "what is there is replayed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("cut.jsonl: no end line") && said.lines().count() == 1, "{said}");
    let (before, after) = log.split_once("\"decision\":{\"worker\":").expect("a decision");
    let worker: u32 = after[..1].parse().expect("one digit");
    let other = (worker + 1) % 8;
    write(
        here,
        "changed.jsonl",
        &format!("{before}\"decision\":{{\"worker\":{other}{}", &after[1..]),
    );
    let output = loadgen(here, &["replay", "changed.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "a difference is a failure, not bad input");
    assert!(String::from_utf8_lossy(&output.stderr).contains("line"));
    write(here, "torn.jsonl", &log[..log.len() - 50]);
    assert_refused(here, &["replay", "torn.jsonl"], &["torn.jsonl", "line"]);
    write(here, "none.jsonl", "");
    assert_refused(here, &["replay", "none.jsonl"], &["none.jsonl", "empty"]);
}
