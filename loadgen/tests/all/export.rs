//! `loadgen export` as a person meets it.

use crate::common::{loadgen, refused};
use serde_json::Value;
use std::path::Path;

fn printed(args: &[&str]) -> String {
    let output = loadgen(Path::new("."), &[&["export"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text in UTF-8")
}

#[test]
fn flags_stand_after_comments_one_a_line() {
    let text = printed(&["--rule", "smg-cache-aware(abs=32,poll_s=5)", "--to", "smg"]);
    let (comments, flags): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with('#'));
    assert!(
        comments[0].contains("smg-cache-aware(abs=32,poll_s=5)") && comments[0].contains("1.13.0")
    );
    assert_eq!(
        flags,
        ["--policy cache_aware", "--balance-abs-threshold 32", "--load-monitor-interval 5"]
    );
}

#[test]
fn machines_get_the_same_as_json() {
    let args = ["--rule", "dynamo-two-tier(abs=16)", "--to", "dynamo", "--json"];
    let json: Value = serde_json::from_str(&printed(&args)).expect("JSON");
    assert_eq!(json["flags"], serde_json::json!(["--router-mode", "kv"]));
    assert_eq!(json["file"]["flag"], "--router-policy-config");
    let instance = &json["file"]["content"]["worker_selection"]["instances"][0];
    assert_eq!(instance["parameters"], serde_json::json!({ "balance_abs_threshold": 16 }));
}

#[test]
fn without_a_rule_or_a_project_it_lists_what_can_go_where() {
    let all = printed(&[]);
    for name in ["llm-d-sticky", "production-stack", "--policy kv_aware", "round-robin"] {
        assert!(all.contains(name), "{all}");
    }
    let rows = |args: &[&str]| -> Value { serde_json::from_str(&printed(args)).expect("JSON") };
    assert_eq!(rows(&["--to", "smg", "--json"])["rows"].as_array().map(Vec::len), Some(4));
    let one = rows(&["--rule", "random", "--json"]);
    assert_eq!(one["rows"][0]["llm-d"], "random-picker");
}

#[test]
fn what_cannot_be_exported_is_bad_input() {
    for (args, part) in [
        (&["--rule", "warmpath", "--to", "dynamo"][..], "--rule: Dynamo cannot deploy warmpath"),
        (&["--rule", "magic", "--to", "dynamo"], "--rule: unknown policy 'magic'"),
        (
            &["--rule", "dynamo(host=2)", "--to", "dynamo"],
            "host is '2', expected a number from 0 to 1",
        ),
        (
            &["--rule", "dynamo", "--to", "envoy"],
            "dynamo, llm-d, smg, vllm-router, production-stack",
        ),
    ] {
        refused(Path::new("."), &[&["export"], args].concat(), part);
    }
}
