//! Workloads in stages, and fixed sets of prompts.

use crate::common::{number, run};
use serde_json::Value;
use std::path::{Path, PathBuf};

const STAGED: &str = r#"name = "staged"

[prompts]
groups = 6
per_group = 2
system_tokens = 640
question_tokens = 100
output_tokens = 40

[[stage]]
name = "warm-up"
rate = 4.0
duration_s = 6.0
counted = false

[[stage]]
rate = 2.0
duration_s = 15.0
arrivals = "constant"

[[stage]]
name = "fast"
rate = 30.0
duration_s = 2.0
"#;

fn write(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("w.toml");
    std::fs::write(&path, text).expect("a file can be written");
    path
}

fn played(text: &str, flags: &[&str]) -> (String, Value) {
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = write(folder.path(), text);
    let path = path.to_str().expect("a path");
    let args = ["sim", "--workload", path, "--workers", "2", "--policies", "kv-aware"];
    run(&[&args[..], flags].concat())
}

#[test]
fn stages_are_reported_apart_and_a_warm_up_is_left_out() {
    let (table, report) = played(STAGED, &[]);
    let run = &report["runs"][0];
    let stages = run["stages"]["each"].as_array().expect("stages");
    let of = |key: &str| stages.iter().map(|stage| stage[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("name"), ["warm-up", "2/s", "fast"]);
    assert_eq!(of("requests"), [24, 30, 60]);
    assert_eq!(of("counted"), [false, true, true]);
    assert_eq!(run["requests"], 90, "the warm-up is not counted");
    // Each prompt was computed in the warm-up.
    assert!(number(&stages[0]["hit_rate"]) < number(&stages[1]["hit_rate"]), "{table}");
    let mean = &run["stages"]["mean"];
    let by_hand = |of: &dyn Fn(&Value) -> f64| (of(&stages[1]) + of(&stages[2])) / 2.0;
    let p90 = by_hand(&|stage| number(&stage["ttft_s"]["p90"]));
    crate::common::near(number(&mean["ttft_p90_s"]), p90);
    let output = by_hand(&|stage| number(&stage["throughput"]["output_tokens_per_s"]));
    crate::common::near(number(&mean["output_tokens_per_s"]), output);
    for part in ["Stages of the workload", "warm-up *", "mean of 2", "not in the mean"] {
        assert!(table.contains(part), "{table}");
    }
}

#[test]
fn a_scale_multiplies_the_rates_and_a_seed_gives_the_same_bytes() {
    let (_, twice) = played(STAGED, &["--rate-scale", "2"]);
    let stages = twice["runs"][0]["stages"]["each"].as_array().expect("stages");
    let asked: Vec<f64> = stages.iter().map(|stage| number(&stage["rate_per_s"])).collect();
    assert_eq!(asked, [8.0, 4.0, 60.0]);
    assert_eq!(twice["runs"][0]["requests"], 180);
    let figures = |seed: &str| {
        let (_, report) = played(STAGED, &["--seed", seed]);
        report["runs"][0]["stages"].to_string()
    };
    assert_eq!(figures("3"), figures("3"));
    assert_ne!(figures("3"), figures("4"));
}

/// The whole staged workload with sessions of several turns, each stage drained.
#[test]
fn sessions_come_in_stages_too() {
    let text = include_str!("../../../deploy/workloads/chat.toml");
    let text = text.replace("requests = 6000", "# requests = 6000");
    let (text, _) = text.split_once("[arrivals").expect("arrivals");
    let stages = "[[stage]]\nrate = 2.0\nduration_s = 20\n[[stage]]\nrate = 1.0\nduration_s = 10\n";
    let (_, report) = played(&format!("{text}{stages}"), &[]);
    let run = &report["runs"][0];
    let stages = run["stages"]["each"].as_array().expect("stages");
    let requests: f64 = stages.iter().map(|stage| number(&stage["requests"])).sum();
    assert_eq!(requests, number(&run["requests"]));
    assert!(requests > 100.0, "50 sessions of some ten turns: {requests}");
    assert_eq!(report["config"]["source"]["sessions"]["stage"][1]["rate"], 1.0);
    assert_eq!(report["config"]["source"]["sessions"]["requests"], Value::Null);
}

#[test]
fn bad_stages_and_prompts_are_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let line = |part: &str, nth: usize| {
        let all = STAGED.lines().enumerate().filter(|(_, line)| line.starts_with(part));
        format!("w.toml:{}: ", all.map(|(at, _)| at + 1).nth(nth).expect("it is there"))
    };
    let cases = [
        ("rate = 30.0", "rate = 0.0", line("rate", 2), "rate: 0, expected a rate above 0"),
        ("rate = 30.0", "rate = nan", line("rate", 2), "rate: NaN, expected a rate above 0"),
        ("rate = 2.0", "rate = \"2\"", line("rate", 1), "rate: \"2\", expected a number"),
        ("duration_s = 2.0", "", line("[[stage]]", 2), "duration_s: missing, expected a number"),
        ("duration_s = 15.0", "duration_s = -1", line("duration", 1), "duration_s: -1, expected"),
        ("\"constant\"", "\"even\"", line("arrivals", 0), "arrivals: \"even\" is unknown"),
        ("counted = false", "count = false", line("counted", 0), "unknown field `count`"),
        ("groups = 6", "groups = 0", line("groups", 0), "groups: 0, expected 1 to 1000000"),
        (
            "per_group = 2",
            "per_group = 2.5",
            line("per_group", 0),
            "per_group: 2.5, expected a whole number",
        ),
        ("output_tokens = 40", "", "w.toml:".into(), "output_tokens: missing, expected"),
        (
            "[prompts]",
            "requests = 5\n[prompts]",
            "w.toml:3: ".into(),
            "requests: given, expected none",
        ),
        (
            "[prompts]",
            "turns = { mean = 1.0, cv = 0.0 }\n[prompts]",
            "w.toml:3: ".into(),
            "turns: given",
        ),
        ("name = \"staged\"", "", "w.toml:".into(), "name: missing, expected a text in quotes"),
    ]
    .map(|(from, to, place, why): (&str, &str, String, &str)| (from, to, place, why));
    for (from, to, place, why) in cases {
        write(folder.path(), &STAGED.replacen(from, to, 1));
        crate::common::refused(folder.path(), &["sim", "--workload", "w.toml"], &place);
        crate::common::refused(folder.path(), &["sim", "--workload", "w.toml"], why);
    }
    let all_left_out = STAGED.replace("[[stage]]", "[[stage]]\ncounted = false");
    let all_left_out = all_left_out.replacen("counted = false\n\n", "\n", 1);
    write(folder.path(), &all_left_out);
    let why = "counted: no stage is, expected at least one";
    crate::common::refused(folder.path(), &["sim", "--workload", "w.toml"], why);
    write(folder.path(), STAGED);
    let mix = "name = \"m\"\n[[class]]\nworkload = \"w.toml\"\n";
    std::fs::write(folder.path().join("m.toml"), mix).expect("a file can be written");
    crate::common::refused(
        folder.path(),
        &["sim", "--workload", "m.toml"],
        "m.toml:3: workload: w.toml ",
    );
    crate::common::refused(folder.path(), &["sim", "--workload", "m.toml"], "has stages");
}

/// A live fleet plays the same stages as a simulation.
#[test]
fn a_live_run_has_stages() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = write(folder.path(), STAGED);
    let path = path.to_str().expect("a path");
    let args = ["compare", "--workload", path, "--workers", "2", "--policies", "kv-aware"];
    let flags = ["--live-requests", "114", "--speedup", "20", "--json", "out.json"];
    // On a busy machine requests may be sent too late, which is a failure; their stages stay.
    crate::common::loadgen(folder.path(), &[&args[..], &flags].concat());
    let json = std::fs::read_to_string(folder.path().join("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("a report is JSON");
    let runs = report["runs"].as_array().expect("runs");
    let requests = |run: &Value| {
        let stages = run["stages"]["each"].as_array().expect("stages").clone();
        stages.iter().map(|stage| stage["requests"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(runs.len(), 3);
    runs.iter().for_each(|run| assert_eq!(requests(run), [24, 30, 60], "{}", run["mode"]));
}
