//! Policies as data: parameters and labels, from the command line and from a scenario file.

mod common;

use common::{loadgen, number, refused, run};
use std::path::Path;

const SCENARIO: &str = include_str!("../../deploy/scenarios/default.toml");

/// The default scenario with other policies.
fn scenario(folder: &Path, policies: &str) {
    let line = SCENARIO.lines().find(|line| line.starts_with("policies")).expect("policies");
    // Tables stand behind all keys.
    let (inline, tables) = match policies.starts_with("[[") {
        true => ("", policies),
        false => (policies, ""),
    };
    let text = format!("{}\n{tables}\n", SCENARIO.replace(line, inline));
    std::fs::write(folder.join("s.toml"), text).expect("a file can be written");
}

#[test]
fn one_rule_stands_twice_with_other_parameters() {
    let policies = "round-robin,session-affinity,session-affinity(bound=4)";
    let args = ["sim", "--policies", policies, "--baseline", "session-affinity"];
    let (table, report) = run(&args);
    for label in ["session-affinity ", "session-affinity(bound=4)"] {
        assert!(table.contains(label), "{table}");
    }
    let runs = report["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 3);
    assert_eq!((&runs[1]["policy"], &runs[2]["policy"]), (&runs[2]["policy"], &runs[1]["policy"]));
    assert_eq!(runs[2]["label"], "session-affinity(bound=4)");
    assert_eq!(runs[2]["parameters"]["bound"], "4");
    assert!(runs[1].get("label").is_none() && runs[1].get("parameters").is_none());
    // A looser bound keeps more sessions where their blocks are.
    assert!(number(&runs[2]["hit_rate"]) > number(&runs[1]["hit_rate"]), "{runs:?}");
    assert_eq!(report["config"]["policies"][2], "session-affinity(bound=4)");
    assert_eq!(report["config"]["baseline"], "session-affinity");
}

#[test]
fn tables_of_a_scenario_have_labels_that_stand_in_every_report() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    scenario(
        here,
        "[[policy]]\nname = \"session-affinity\"\n\
         [[policy]]\nname = \"session-affinity\"\nlabel = \"sticky, loose\"\nparameters = { bound = 4 }\n",
    );
    let flags = ["--csv", "o.csv", "--json", "o.json", "--record", "logs"];
    let output = loadgen(here, &[&["sim", "--scenario", "s.toml"][..], &flags].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("sticky, loose against session-affinity"), "{table}");
    let read = |name: &str| std::fs::read_to_string(here.join(name)).expect("a file was written");
    assert!(read("o.csv").contains("\n\"sticky, loose\",,sim,"), "{}", read("o.csv"));
    assert!(read("o.json").contains("\"label\": \"sticky, loose\""));
    // The record names the rule with its parameters, and replays.
    assert!(read("logs/sticky, loose.jsonl").contains("session-affinity(bound=4)"));
    let replayed = loadgen(here, &["replay", "logs/sticky, loose.jsonl"]);
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
}

#[test]
fn what_no_rule_has_is_refused_in_one_line_that_lists_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let flag = |policies: &str, part: &str| refused(here, &["sim", "--policies", policies], part);
    flag("session-affinity(bond=2)", "has no parameter 'bond', expected one of: bound");
    flag("session-affinity(bound=much)", "bound is 'much', expected");
    flag("kv-aware(x=1)", "kv-aware has no parameter 'x'");
    flag("kv-aware,session-affinity(bound=2", "expected NAME or NAME(key=value");
    flag("session-affinity(bound=1.25),session-affinity", "'session-affinity' is used twice");
    let file = |policies: &str, part: &str| {
        scenario(here, policies);
        refused(here, &["sim", "--scenario", "s.toml"], part);
    };
    file("policies = [\"session-affinity(bond=2)\"]", "has no parameter 'bond'");
    file("[[policy]]\nname = \"session-affinity\"\nparameters = { bond = 2 }", "parameter 'bond'");
    file("[[policy]]\nname = \"magic\"", "unknown policy 'magic', expected one of: ");
    file("[[policy]]\nname = \"random\"\nlabel = \" \"", "label: empty, expected a name");
    file("[[policy]]\nname = \"random\"\nlabl = \"x\"", "labl");
    file("", "policies: missing, expected policies = [..] or at least one [[policy]]");
}

#[test]
fn a_policy_that_holds_waits_in_a_bounded_queue() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let play = |queue: &str| {
        let text = SCENARIO.replace("[network]", &format!("{queue}\n[network]"));
        std::fs::write(here.join("q.toml"), text).expect("a file can be written");
        let args = ["sim", "--scenario", "q.toml", "--policies", "wait-for-room(max_active=1)"];
        let output = loadgen(here, &[&args[..], &["--workers", "2", "--json", "q.json"]].concat());
        let json = std::fs::read_to_string(here.join("q.json"))
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let report: serde_json::Value = serde_json::from_str(&json).expect("a report is JSON");
        report["runs"][0].clone()
    };
    let bounded = play("[queue]\nrequests = 4\n");
    let by_reason = bounded["errors_by_reason"].to_string();
    assert!(by_reason.contains("queue full"), "{by_reason}");
    let impatient = play("[queue]\nrequests = 100000\nlongest_wait_s = 2\n");
    let by_reason = impatient["errors_by_reason"].to_string();
    assert!(by_reason.contains("waited too long"), "{by_reason}");
    assert!(!by_reason.contains("queue full"), "{by_reason}");
    refused_queue(here);
}

fn refused_queue(here: &Path) {
    let text = SCENARIO.replace("[network]", "[queue]\nlongest_wait_s = -1\n[network]");
    std::fs::write(here.join("q.toml"), text).expect("a file can be written");
    refused(here, &["sim", "--scenario", "q.toml"], "queue.longest_wait_s: -1, expected seconds");
}
