//! What no rule can beat, how sure one run is, and the search for parameters.

use crate::common::{loadgen, number, run};
use serde_json::Value;

/// Prompts of 21 conversations, which take turns in no simple order, behind one system prompt: one each 100 ms.
/// Blocks of 16 tokens.
fn trace() -> String {
    let mut turns = [0; 23];
    let mut line = |i: usize| {
        let conversation = (i * i * 7 + i / 3 * 5) % 23;
        turns[conversation] += 1;
        let own = (0..40 + turns[conversation] * 8).map(|block| 1_000 * (conversation + 1) + block);
        let ids: Vec<String> = (0..20).chain(own).map(|id| id.to_string()).collect();
        let tokens = ids.len() * 16;
        let (at, ids) = (i * 100, ids.join(","));
        format!(
            r#"{{"timestamp":{at},"input_length":{tokens},"output_length":30,"hash_ids":[{ids}]}}"#
        )
    };
    (0..600).map(&mut line).collect::<Vec<_>>().join("\n")
}

fn played(command: &str, flags: &[&str]) -> (String, Value) {
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = folder.path().join("t.jsonl");
    std::fs::write(&path, trace()).expect("a file can be written");
    let path = path.to_str().expect("a path");
    run(&[&[command, "--trace", path, "--trace-block-size", "16", "--workers", "4"][..], flags]
        .concat())
}

#[test]
fn every_rule_is_within_the_bounds_and_the_table_says_how_far() {
    let (table, report) = played("sim", &["--policies", "naive,kv-aware", "--hbm-tokens", "20000"]);
    let runs = report["runs"].as_array().expect("runs");
    for run in runs {
        let bounds = &run["bounds"];
        let of = |key: &str| number(&bounds[key]);
        assert_eq!(of("requests"), 600.0);
        assert!(of("hit_rate") <= of("optimal_hit_rate"), "{bounds}");
        assert!(of("optimal_hit_rate") <= of("infinite_hit_rate"), "{bounds}");
        assert!(of("pooled_lru_hit_rate") <= of("optimal_hit_rate"), "{bounds}");
        assert!(
            of("least_ttft_mean_s") > 0.0 && of("least_ttft_mean_s") <= of("ttft_mean_s"),
            "{bounds}"
        );
        assert!(of("least_latency_mean_s") <= of("latency_mean_s"), "{bounds}");
        assert_eq!(of("memory_blocks"), 4.0 * 1_250.0);
        assert!(of("stable_below_rate_scale") > 1.0, "{bounds}");
    }
    // All requests are the same for all rules, so the order-free bound is too.
    assert!(runs.iter().all(|run| run["bounds"]["infinite_hit_rate"] == runs[0]["bounds"]["infinite_hit_rate"]));
    assert!(table.contains("Distance from the limit") && table.contains("stable below"), "{table}");
}

#[test]
fn a_run_with_failed_requests_has_no_bounds() {
    let folder = tempfile::tempdir().expect("a folder for files");
    std::fs::write(folder.path().join("t.jsonl"), trace()).expect("a file can be written");
    let flags = ["sim", "--trace", "t.jsonl", "--trace-block-size", "16", "--workers", "4"];
    let few = ["--policies", "round-robin", "--hbm-tokens", "4800", "--json", "out.json"];
    let output = loadgen(folder.path(), &[&flags[..], &few].concat());
    let json = std::fs::read_to_string(folder.path().join("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("a report is JSON");
    assert!(number(&report["runs"][0]["errors"]) > 0.0, "{}", report["runs"][0]);
    assert_eq!(report["runs"][0]["bounds"], Value::Null);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!table.contains("Distance from the limit"), "{table}");
}

/// Two labels of one rule cannot be told apart; random choice can be told from a rule that looks at caches.
#[test]
fn one_run_ties_what_is_the_same_and_tells_apart_what_is_not() {
    let flags = ["--policies", "dynamo,dynamo(disk=0.3),random", "--rates", "0.5,1"];
    let (table, report) = played("sim", &flags);
    for row in report["comparisons"].as_array().expect("comparisons") {
        let by = &row["by_ttft"];
        let same = row["policy"].as_str().expect("a label").starts_with("dynamo");
        assert_eq!(by["tied_with_best"], same, "{row}");
        if let Some(change) = by["change_percent"].as_object() {
            assert_eq!(change["over_parts"], true);
            assert!((8.0..=128.0).contains(&number(&change["n"])), "{row}");
        }
    }
    assert!(table.contains("bootstrap"), "{table}");
}

/// A rule that is given with bad parameters is mended, on requests that the search did not see.
#[test]
fn tune_mends_a_rule_and_reports_both_on_the_other_half() {
    let flags = ["--policies", "dynamo(overlap=0)", "--budget", "24", "--hbm-tokens", "20000"];
    let (table, report) = played("tune", &flags);
    let tuning = &report["tunings"][0];
    assert_eq!(tuning["policy"], "dynamo(overlap=0)");
    assert_ne!(tuning["tuned"], tuning["policy"], "{tuning}");
    let tried = tuning["tried"].as_array().expect("what was tried");
    assert!(tried.len() <= 24 && tried.len() > 8, "{tuning}");
    assert_eq!(
        (&tried[0]["policy"], &tried[0]["change_percent"]),
        (&tuning["policy"], &0.0.into())
    );
    assert_eq!(tuning["trained_on"], "the first 50 % of the trace");
    let runs = report["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2);
    let ttft = |run: &Value| number(&run["ttft_s"]["mean"]);
    assert_eq!(number(&runs[0]["requests"]), 300.0, "the report has the other half");
    assert!(ttft(&runs[1]) < ttft(&runs[0]), "{table}");
    assert!(table.contains("which the search did not see"), "{table}");
    // The same search finds the same.
    assert_eq!(played("tune", &flags).1["tunings"], report["tunings"]);
}
