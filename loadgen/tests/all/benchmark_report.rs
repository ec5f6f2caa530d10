//! `--benchmark-report`: llm-d's benchmark report v0.2. `with_data.rs` gives it to llm-d's own reader.

use crate::common::benchmark_report::{reports, value};
use crate::common::{loadgen, near, number, refused};
use serde_json::Value;

const SMALL: [&str; 5] = ["sim", "--workload", "chat", "--workers", "4"];

#[test]
fn a_simulated_run_is_a_document_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let name = "benchmark_report_v0.2,_run.yaml";
    let written = |json: &str| {
        let flags = ["--policies", "kv-aware", "--json", json, "--benchmark-report", name];
        let output = loadgen(folder.path(), &[&SMALL[..], &flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(folder.path().join(name)).expect("a report")
    };
    let report = written("out.json");
    assert_eq!(report, written("again.json"), "the same run, the same bytes");
    let json = std::fs::read_to_string(folder.path().join("out.json")).expect("JSON");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let run = &json["runs"][0];
    let of = |keys: &str| {
        let keys: Vec<&str> = keys.split('/').collect();
        value(&report, &keys).unwrap_or_else(|| panic!("{keys:?} in {report}"))
    };
    assert_eq!(of("version"), "0.2");
    let duration = of("run/time/duration");
    let seconds = duration.strip_prefix("PT").and_then(|rest| rest.strip_suffix('S'));
    near(seconds.and_then(|s| s.parse().ok()).expect("seconds"), number(&run["duration_s"]));
    let described = of("run/description");
    let profile = run["profile"].as_str().expect("a profile");
    assert!(described.starts_with("Simulated by warmpath in virtual time"), "{described}");
    assert!(described.contains(&format!("profile {profile},")), "{described}");
    assert_eq!(of("results/observability/warmpath/simulated"), "true");
    assert_eq!(of("results/observability/warmpath/profile"), profile);

    // Seconds, seconds a token, tokens and requests a second.
    let aggregate = |keys: &str| of(&format!("results/request_performance/aggregate/{keys}"));
    let same = |keys: &str, expected: f64| {
        near(aggregate(keys).parse().unwrap_or_else(|_| panic!("{keys}: a number")), expected);
    };
    for (theirs, own, units) in [
        ("time_to_first_token", "ttft_s", "s"),
        ("time_per_output_token", "tpot_s", "s/token"),
        ("request_latency", "e2e_s", "s"),
    ] {
        assert_eq!(aggregate(&format!("latency/{theirs}/units")), units);
        for part in ["mean", "p50", "p90", "p99"] {
            same(&format!("latency/{theirs}/{part}"), number(&run[own][part]));
        }
    }
    same("requests/total", number(&run["offered"]));
    same("requests/failures", number(&run["errors"]));
    let answered = number(&run["requests"]);
    let prompts = number(&run["prefill_tokens_computed"]) + number(&run["prefill_tokens_cached"]);
    assert_eq!(aggregate("requests/input_length/units"), "count");
    same("requests/input_length/mean", prompts / answered);
    let rates = &run["throughput"];
    for (theirs, own) in
        [("input_token_rate", "input_tokens_per_s"), ("output_token_rate", "output_tokens_per_s")]
    {
        assert_eq!(aggregate(&format!("throughput/{theirs}/units")), "tokens/s");
        same(&format!("throughput/{theirs}/mean"), number(&rates[own]));
    }
    assert_eq!(aggregate("throughput/request_rate/units"), "queries/s");
    same("throughput/request_rate/mean", number(&rates["requests_per_s"]));

    // Engines that are computed name their model and accelerator.
    for part in [
        "kind: inference_engine",
        "replicas: 4",
        "role: replica",
        "simulated: true",
        "policy: kv-aware",
        "cache_hit_rate:",
        "units: fraction",
    ] {
        assert!(report.contains(part), "{part} in {report}");
    }
}

#[test]
fn several_runs_are_a_folder_for_each_policy() {
    let folder = tempfile::tempdir().expect("a folder for files");
    std::fs::create_dir(folder.path().join("out")).expect("a folder");
    let flags = ["--policies", "round-robin,kv-aware", "--rates", "0.5,1"];
    let files = ["--benchmark-report", "out/benchmark_report_v0.2,_x.yaml"];
    let output = loadgen(folder.path(), &[&SMALL[..], &flags, &files].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = reports(&folder.path().join("out"));
    let names: Vec<String> = found
        .iter()
        .map(|path| {
            let path = path.strip_prefix(folder.path().join("out")).expect("inside");
            path.to_string_lossy().into_owned()
        })
        .collect();
    let expected = ["kv-aware", "round-robin"].map(|label| {
        ["0.5x", "1x"].map(|rate| format!("{label}/benchmark_report_v0.2,_x_{rate}.yaml"))
    });
    assert_eq!(names, expected.concat());
    let read = |path| std::fs::read_to_string(path).expect("a report");
    let ids: Vec<Option<String>> =
        found.iter().map(|path| value(&read(path), &["run", "uid"])).collect();
    assert!((1..4).all(|i| !ids[..i].contains(&ids[i])), "{ids:?} differ");
    let experiments = found.iter().map(|path| value(&read(path), &["run", "eid"]));
    let mut experiments: Vec<_> = experiments.collect();
    experiments.dedup();
    assert_eq!(experiments.len(), 1, "one experiment");
}

#[test]
fn bad_places_are_refused() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let at = |path: &'static str| [&SMALL[..], &["--benchmark-report", path]].concat();
    refused(folder.path(), &at("nowhere/x.yaml"), "nowhere/x.yaml: ");
    refused(folder.path(), &at("."), "is a folder, expected a file");
    let twice = [&at("x")[..], &["--json", "x"]].concat();
    refused(folder.path(), &twice, "--benchmark-report: x is used by another flag");
    let several = [&at("/dev/null")[..], &["--policies", "round-robin,kv-aware"]].concat();
    refused(folder.path(), &several, "2 runs need a file each");
    let swept = ["sweep", "--axis", "workers=2", "--benchmark-report", "x"];
    refused(folder.path(), &swept, "--benchmark-report: not for sweep");
}
