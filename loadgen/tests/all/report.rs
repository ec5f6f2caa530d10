//! What scripts rely on: the shape of the JSON, and the same bytes for the same seed.

use crate::common::run;
use serde_json::Value;

fn sim(args: &[&str]) -> Value {
    run(&[&["sim"], args].concat()).1
}

#[test]
fn the_json_has_what_scripts_rely_on() {
    let report = sim(&["--policies", "round-robin,kv-aware"]);
    assert_eq!(report["schema"], "warmpath.report.v2");
    assert_eq!(report["config"]["workers"], 16);
    let runs = report["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2);
    for run in runs {
        let text = ["policy", "mode", "workload"];
        assert!(text.iter().all(|key| run[key].is_string()), "{run}");
        let numbers = [
            "offered",
            "requests",
            "errors",
            "hit_rate",
            "hit_rate_blocks",
            "prefill_tokens_computed",
            "prefill_tokens_cached",
            "goodput_requests_per_s",
            "balance_max_over_mean",
            "wall_s",
            "seed",
        ];
        for key in numbers {
            assert!(run[key].is_number(), "{key} in {run}");
        }
        for key in ["ttft_s", "tpot_s", "e2e_s"] {
            for part in ["mean", "p50", "p90", "p99"] {
                assert!(run[key][part].as_f64().is_some_and(|s| s > 0.0), "{key}.{part}");
            }
        }
        for part in ["requests_per_s", "input_tokens_per_s", "output_tokens_per_s"] {
            assert!(run["throughput"][part].as_f64().is_some_and(|s| s > 0.0), "{part}");
        }
        assert_eq!(run["valid"], true);
        assert_eq!(run["profile_validated"], true);
        assert!(run["profile_standing"]["band_percent"].is_number(), "{run}");
        assert_eq!((&run["offered"], &run["requests"]), (&4_000.into(), &4_000.into()));
    }
    let (naive, aware) = (&runs[0], &runs[1]);
    let figure = |run: &Value, key: &str| run[key].as_f64().expect("a number");
    assert!(figure(aware, "hit_rate") > figure(naive, "hit_rate") + 0.15);
    let ttft = |run: &Value| run["ttft_s"]["mean"].as_f64().expect("a number");
    assert!(ttft(aware) < 0.7 * ttft(naive));
}

#[test]
fn a_seed_gives_the_same_bytes() {
    let bytes = |seed: &str| {
        let mut report = sim(&["--seed", seed, "--policies", "all"]);
        for run in report["runs"].as_array_mut().expect("runs") {
            run["wall_s"] = Value::Null;
        }
        report.to_string()
    };
    assert_eq!(bytes("5"), bytes("5"));
    assert_ne!(bytes("5"), bytes("6"));
}
