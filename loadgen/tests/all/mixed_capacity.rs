//! Workers of different size: a request goes to one that has room for its prompt and for the answer
//! that its client asked for, live and simulated.

use crate::common::loadgen;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

fn profile(folder: &Path, name: &str, hbm_tokens: u32) {
    let text = format!(
        "name = \"{name}\"\nvalidated = false\nblock_size = 16\nhbm_tokens = {hbm_tokens}\n\
         kv_bytes_per_token = 327_680\nmax_num_seqs = 256\nmax_num_batched_tokens = 8192\n\
         [step]\nbase_ns = 1_500_000\nweights_ns = 12_000_000\nns_per_token = 120_000\n\
         ns_per_pair = 2.0\nns_per_context_token = 56\nns_per_seq = 10_000\n"
    );
    std::fs::write(folder.join(format!("{name}.toml")), text).expect("a file can be written");
}

/// Twelve requests of 2,048 + 3,000 tokens, one in two seconds, on workers with room for 4,096 and for
/// 220,000 tokens.
fn played(args: &[&str], policies: &str) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().expect("a folder for files");
    profile(folder.path(), "small", 4_096);
    profile(folder.path(), "large", 220_000);
    let mut trace = String::new();
    for i in 0..12 {
        let _ = writeln!(
            trace,
            "{{\"timestamp\": {}, \"input_length\": 2048, \"output_length\": 3000, \
             \"hash_ids\": [{}, {}, {}, {}]}}",
            2_000 * i,
            10 * i,
            10 * i + 1,
            10 * i + 2,
            10 * i + 3
        );
    }
    std::fs::write(folder.path().join("t.jsonl"), trace).expect("a file can be written");
    let scenario = format!(
        "name = \"mixed\"\nworkload = \"assistant\"\npolicies = [{policies}]\nseed = 1\n\
         [[group]]\nworkers = 1\nprofile = \"small.toml\"\n\
         [[group]]\nworkers = 1\nprofile = \"large.toml\"\n\
         [live]\nspeedup = 20.0\nrequests = 12\n[slo]\nttft_s = 2.0\ntpot_s = 0.1\n\
         [network]\nhop_us = 100.0\nreport_every_ms = 1000\n"
    );
    std::fs::write(folder.path().join("s.toml"), scenario).expect("a file can be written");
    let flags = ["--scenario", "s.toml", "--trace", "t.jsonl", "--block-size", "16"];
    let output = loadgen(folder.path(), &[args, &flags, &["--json", "out.json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = std::fs::read_to_string(folder.path().join("out.json")).expect(&said);
    (output.status.code(), serde_json::from_str(&json).expect("a report is JSON"))
}

#[test]
fn requests_go_to_the_worker_that_has_room_for_their_answers() {
    let policies = "\"round-robin\", \"random\", \"least-loaded\", \"kv-aware\", \"warmpath\"";
    let (status, report) = played(&["sim"], policies);
    for run in report["runs"].as_array().expect("runs") {
        assert_eq!((&run["errors"], &run["requests"]), (&0.into(), &12.into()), "{run}");
        assert_eq!(run["groups"][0]["output_tokens"], 0, "the small worker has no room for any");
    }
    assert_eq!(status, Some(0));
}

#[test]
fn live_and_simulated_fleets_agree_about_who_has_room() {
    let (_, report) = played(&["compare", "--live-requests", "12"], "\"kv-aware\"");
    for run in report["runs"].as_array().expect("runs") {
        assert_eq!((&run["errors"], &run["requests"]), (&0.into(), &12.into()), "{run}");
    }
}
