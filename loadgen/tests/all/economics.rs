//! Energy and cost of runs as the command reports them, and what is refused.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SCENARIO: &str = include_str!("../../../deploy/scenarios/hybrid.toml");

fn loadgen(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.current_dir(folder).args(args).output().expect("loadgen starts")
}

fn economics(folder: &Path, args: &[&str]) -> Value {
    let scenario = ["sim", "--scenario", "s.toml", "--workload", "w.toml", "--json", "out.json"];
    let output = loadgen(folder, &[&scenario, args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = std::fs::read_to_string(folder.join("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("a report is JSON");
    report["runs"][0].clone()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder for files");
    std::fs::write(folder.path().join("s.toml"), SCENARIO).expect("a file can be written");
    let workload = include_str!("../../../deploy/workloads/enterprise-kb.toml");
    let workload = workload.replace("requests = 4000 ", "requests = 400 ");
    std::fs::write(folder.path().join("w.toml"), workload).expect("a file can be written");
    folder
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()), "{a} against {b}");
}

#[test]
fn the_parts_add_up_and_a_price_applies_to_its_chip() {
    let folder = folder();
    let run = economics(folder.path(), &["--cost"]);
    let number = |value: &Value| value.as_f64().expect("a number");
    let (devices, cluster) = (&run["devices"]["devices"], &run["devices"]["cluster"]);
    for key in ["requests", "errors", "prefill_tokens_cached", "prefill_tokens_computed"] {
        assert_eq!(number(&run[key]), number(&devices[key]) + number(&cluster[key]), "{key}");
        assert!(key == "errors" || number(&devices[key]) > 0.0, "{key}: devices served something");
    }
    let whole = &run["economics"];
    let parts = whole["parts"].as_array().expect("parts");
    assert_eq!(parts.len(), 2, "workers and devices");
    for key in ["worker_s", "kwh", "usd"] {
        let sum: f64 =
            parts.iter().map(|part| number(&part["busy"][key]) + number(&part["idle"][key])).sum();
        near(sum, number(&whole["total"][key]));
    }
    let served = &whole["served"];
    let tokens: f64 =
        ["prompt_computed", "prompt_reused", "output"].iter().map(|key| number(&served[key])).sum();
    near(number(&whole["usd_per_m"]["served"]), number(&whole["total"]["usd"]) / tokens * 1e6);

    let dearer = economics(folder.path(), &["--price", "h100=5.90"]);
    let workers = |run: &Value| number(&run["economics"]["parts"][0]["idle"]["usd"]);
    near(workers(&dearer), 2.0 * workers(&run));
    near(number(&dearer["economics"]["total"]["kwh"]), number(&whole["total"]["kwh"]));
    let plain = economics(folder.path(), &[]);
    assert!(plain.get("economics").is_none(), "costs are computed only if a flag asks for them");
}

#[test]
fn bad_prices_are_refused_in_one_line() {
    let folder = folder();
    let sheet = include_str!("../../../deploy/economics.toml");
    let refused = |args: &[&str], parts: &[&str]| {
        let output = loadgen(folder.path(), &[&["sim", "--scenario", "s.toml"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said} without one of {parts:?}");
    };
    refused(&["--price", "h100"], &["NAME=USD"]);
    refused(&["--price", "h100=-1"], &["NAME=USD"]);
    refused(&["--price", "h1000=1"], &["--price", "unknown device 'h1000'"]);
    let bad_sheets = [
        ("overhead = 1.25", "overhead = 0.5", "site.overhead"),
        ("charged_share = 0.0", "charged_share = 2.0", "user.charged_share"),
        ("input = 0.50", "input = -0.50", "api.input"),
        ("usd_per_kwh = 0.10", "usd_per_kwh = nan", "site.usd_per_kwh"),
    ];
    for (good, bad, field) in bad_sheets {
        assert!(sheet.contains(good), "{good}");
        let path = folder.path().join("p.toml");
        std::fs::write(&path, sheet.replace(good, bad)).expect("a file can be written");
        refused(&["--prices", "p.toml"], &["p.toml", field.split('.').next_back().unwrap()]);
    }
    let spoilt =
        [("users = 1000", "users = 0", "users"), ("llama-8b-int4-m5-max", "no-such", "no-such")];
    for (good, bad, part) in spoilt {
        let path = folder.path().join("s.toml");
        std::fs::write(&path, SCENARIO.replace(good, bad)).expect("a file can be written");
        refused(&[], &[part]);
    }
}
