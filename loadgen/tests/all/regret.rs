//! Decisions played again with another worker.

use crate::common::{loadgen, near, number, refused, run};
use serde_json::Value;

const ASKED: [&str; 9] = [
    "regret",
    "--workload",
    "assistant",
    "--requests",
    "300",
    "--examine",
    "12",
    "--policies",
    "round-robin,kv-aware",
];

#[test]
fn a_blind_rule_regrets_more_than_one_that_looks() {
    let (text, report) = run(&ASKED);
    let (again, _) = run(&ASKED);
    assert_eq!(text, again, "the same decisions, the same costs");
    let policies = report["policies"].as_array().expect("policies");
    let mean = |policy: &Value| {
        let examined = policy["examined"].as_array().expect("decisions");
        assert_eq!(examined.len(), 12);
        let mut even = Vec::new();
        for one in examined {
            let of = |key: &str| number(&one[key]);
            let won = of("time_s") - of("best_time_s") - of("others_s");
            near(of("regret_s"), won);
            assert_eq!(of("regret_s") > 0.0, one["worker"] != one["best_worker"], "{one}");
            if one["slowest"] == false {
                even.push(of("regret_s"));
            }
        }
        assert_eq!(even.len(), 6);
        even.iter().sum::<f64>() / 6.0
    };
    let [blind, looks] = [&policies[0], &policies[1]].map(mean);
    assert!(blind > 0.1 && looks < blind / 4.0, "{blind} {looks}");
    // A rule that weighs times says what it expected, the other one does not.
    assert!(policies[0]["examined"][0]["expected_s"].is_null());
    assert!(policies[1]["examined"][0]["expected_s"].is_number(), "{}", policies[1]["examined"][0]);
}

/// The second request has the first one's prompt, and goes to the other of two workers.
#[test]
fn a_regret_worked_by_hand() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let row = |ms: u32, ids: &str| {
        format!(
            r#"{{"timestamp": {ms}, "input_length": 1024, "output_length": 2, "hash_ids": [{ids}]}}"#
        )
    };
    let trace = [row(0, "1, 2"), row(5_000, "1, 2"), row(20_000, "3, 4")].join("\n");
    std::fs::write(folder.path().join("t.jsonl"), trace).expect("a file can be written");
    let asked = ["regret", "--trace", "t.jsonl", "--workers", "2", "--policies", "round-robin"];
    let output = loadgen(folder.path(), &[&asked[..], &["--json", "r.json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(folder.path().join("r.json")).expect("a file");
    let report: Value = serde_json::from_str(&text).expect("a report is JSON");
    let examined = report["policies"][0]["examined"].as_array().expect("decisions").clone();
    let of = |place: usize, key: &str| number(&examined[place][key]);
    assert_eq!(examined.len(), 3);
    // The first one on the other worker: then the second one finds it there, and gains as much.
    assert_eq!((of(0, "worker"), of(0, "best_worker")), (0.0, 1.0));
    near(of(0, "others_s"), -of(0, "regret_s"));
    // The second one where the first one is: its last block is computed again.
    assert_eq!((of(1, "worker"), of(1, "best_worker"), of(1, "others_s")), (1.0, 0.0, 0.0));
    assert!(of(1, "best_time_s") < of(1, "time_s") * 0.8, "{}", examined[1]);
    near(of(0, "regret_s"), of(1, "regret_s"));
    // The third one is as well off anywhere.
    assert_eq!((of(2, "regret_s"), of(2, "worker")), (0.0, of(2, "best_worker")));
}

#[test]
fn times_to_the_last_token_count_if_asked_for() {
    let asked = ["regret", "--workload", "assistant", "--requests", "200", "--examine", "6"];
    let policies = ["--policies", "round-robin"];
    let (_, first) = run(&[&asked[..], &policies].concat());
    let (text, last) = run(&[&asked[..], &policies, &["--by", "e2e"]].concat());
    assert_eq!((&first["by"], &last["by"]), (&"ttft".into(), &"e2e".into()));
    let mean = |report: &Value| number(&report["policies"][0]["time_mean_s"]);
    assert!(mean(&last) > mean(&first) * 2.0, "answers take longer than first tokens: {text}");
    assert!(text.contains("E2E mean") && text.contains("wins in time to last token"), "{text}");
    let examined = last["policies"][0]["examined"].as_array().expect("decisions");
    for one in examined {
        let of = |key: &str| number(&one[key]);
        near(of("regret_s"), of("time_s") - of("best_time_s") - of("others_s"));
    }
    assert!(examined.iter().any(|one| number(&one["regret_s"]) > 0.0), "{text}");
}

/// The command itself makes sure that the frozen run is the run, and panics otherwise.
#[test]
fn every_rule_that_sends_at_once_can_be_frozen() {
    let args = ["regret", "--workload", "assistant", "--requests", "60", "--examine", "2"];
    let (text, _) =
        run(&[&args[..], &["--policies", "naive,field,own", "--workers", "4"]].concat());
    assert!(text.contains("dynamo") && text.contains("warmpath"), "{text}");
}

#[test]
fn what_cannot_be_frozen_is_refused() {
    let folder = tempfile::tempdir().expect("a folder for files");
    for (args, why) in [
        (&["--workers", "1"][..], "has one worker, expected at least 2"),
        (&["--scenario", "prefill-decode"], "has prefill and decode workers"),
        (&["--scenario", "shared-pool"], "has a pool or peers"),
        (&["--routers", "2"], "has several routers, expected one"),
        (&["--seeds", "2"], "--seeds: not for regret"),
        (&["--examine", "1"], "--examine"),
    ] {
        refused(folder.path(), &[&["regret"], args].concat(), why);
    }
}
