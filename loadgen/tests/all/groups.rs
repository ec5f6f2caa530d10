//! Fleets of several profiles: the report of each group, and bad scenarios.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SCENARIO: &str = include_str!("../../../deploy/scenarios/mixed-fleet.toml");

fn sim(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.current_dir(folder).args(["sim", "--scenario", "s.toml"]).args(args);
    command.output().expect("loadgen starts")
}

#[test]
fn a_report_names_every_group_with_its_standing() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let text = SCENARIO.replace("llama-70b-fp8-2xh100", "other.toml");
    // The same model on a device without measurements.
    let other = include_str!("../../../deploy/profiles/llama-70b-nvfp4-b200.toml");
    std::fs::write(folder.path().join("other.toml"), other).expect("a file can be written");
    std::fs::write(folder.path().join("s.toml"), text).expect("a file can be written");
    let output =
        sim(folder.path(), &["--policies", "round-robin,least-loaded", "--json", "out.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = std::fs::read_to_string(folder.path().join("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("a report is JSON");
    assert_eq!(report["config"]["workers"], 16);
    assert_eq!(report["config"]["groups"][1]["profile"]["name"], "llama-70b-nvfp4-b200");
    for run in report["runs"].as_array().expect("runs") {
        assert_eq!(run["profile"], "llama-70b-fp8-4xh100 + llama-70b-nvfp4-b200");
        let groups = run["groups"].as_array().expect("groups");
        assert_eq!((&groups[0]["workers"], &groups[1]["workers"]), (&4.into(), &12.into()));
        for group in groups {
            assert!(group["profile_standing"]["because"].is_string(), "{group}");
            let busy = group["utilisation"].as_f64().expect("a share");
            assert!(busy > 0.0 && busy <= 1.0, "{group}");
        }
        let tokens = |key: &str| -> u64 {
            groups.iter().map(|group| group[key].as_u64().expect("tokens")).sum()
        };
        let computed = run["prefill_tokens_computed"].as_u64().expect("tokens");
        assert!(tokens("prefill_tokens") >= computed, "each prompt was computed by a worker");
    }
    for name in ["llama-70b-fp8-4xh100", "llama-70b-nvfp4-b200"] {
        assert!(table.contains(&format!("Profile {name}: ")), "{table}");
    }
}

#[test]
fn a_report_shows_the_kv_transfers() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let text = include_str!("../../../deploy/scenarios/prefill-decode.toml");
    std::fs::write(folder.path().join("s.toml"), text).expect("a file can be written");
    let output = sim(folder.path(), &["--json", "out.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let unvalidated = "Profile llama-70b-fp8-512xlpu: unvalidated";
    assert!(table.contains("handed GB") && table.contains(unvalidated), "{table}");
    let json = std::fs::read_to_string(folder.path().join("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("a report is JSON");
    let bytes_a_token = &report["config"]["groups"][0]["profile"]["kv_bytes_per_token"];
    for run in report["runs"].as_array().expect("runs") {
        assert_eq!((&run["errors"], &run["profile_validated"]), (&0.into(), &false.into()));
        let kv_transfer = &run["engine"]["kv_transfer"];
        let figure = |key: &str| kv_transfer[key].as_u64().expect("a count");
        assert!(figure("tokens") > 0 && figure("failed") == 0 && figure("expired") == 0);
        let bytes = figure("tokens") * bytes_a_token.as_u64().expect("bytes");
        assert_eq!(figure("bytes"), bytes);
        let groups = run["groups"].as_array().expect("groups");
        assert_eq!((&groups[0]["role"], &groups[1]["role"]), (&"prefill".into(), &"decode".into()));
        assert_eq!(groups[0]["kv_transfer_bytes"], bytes);
        assert!(run["balance_max_over_mean"].is_null());
    }
}

#[test]
fn a_live_run_transfers_the_same_kv_as_its_simulation() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let text = include_str!("../../../deploy/scenarios/prefill-decode.toml");
    std::fs::write(folder.path().join("s.toml"), text).expect("a file can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.current_dir(folder.path()).args(["compare", "--scenario", "s.toml"]);
    command.args(["--policies", "round-robin", "--live-requests", "24", "--json", "out.json"]);
    // Times are not compared, so a slow machine does not matter.
    let output = command.output().expect("loadgen starts");
    let json = std::fs::read_to_string(folder.path().join("out.json"));
    let json = json.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let report: Value = serde_json::from_str(&json).expect("a report is JSON");
    let run = |mode: &str| {
        let runs = report["runs"].as_array().expect("runs");
        runs.iter().find(|run| run["mode"] == mode).expect("a run in this mode")
    };
    let (live, slice) = (run("live"), run("sim-slice"));
    assert_eq!((&live["errors"], &live["requests"]), (&0.into(), &24.into()));
    let moved = &live["live"]["kv_transfer"];
    let figure = |key: &str| moved[key].as_u64().expect("a count");
    let bytes_a_token = &report["config"]["groups"][0]["profile"]["kv_bytes_per_token"];
    assert_eq!(figure("requests"), 24);
    assert_eq!(figure("bytes"), figure("tokens") * bytes_a_token.as_u64().expect("bytes"));
    // Which blocks a decode worker already holds depends on the order in which answers end.
    let simulated = slice["engine"]["kv_transfer"]["tokens"].as_f64().expect("a count");
    let ratio = figure("tokens") as f64 / simulated;
    assert!((0.8..1.25).contains(&ratio), "{ratio}: {moved} live, {simulated} tokens simulated");
}

#[test]
fn bad_roles_are_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let text = include_str!("../../../deploy/scenarios/prefill-decode.toml");
    let refused = |text: &str, parts: &[&str]| {
        std::fs::write(folder.path().join("s.toml"), text).expect("a file can be written");
        let output = sim(folder.path(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said} without one of {parts:?}");
    };
    refused(&text.replace("\"decode\"", "\"decoder\""), &["s.toml:17", "decoder", "prefill"]);
    refused(&text.replace("role = \"decode\"", ""), &["s.toml", "h100", "group of role decode"]);
    refused(&text.replace("gb_s = 168.0", "gb_s = 0"), &["s.toml:24", "kv_transfer.gb_s", "0"]);
    refused(&text.replace("hold_ms = 480_000.0", ""), &["s.toml", "hold_ms"]);
    let (before, after) = text.split_once("[kv_transfer]").expect("a link");
    let (_, after) = after.split_once("[live]").expect("a live leg");
    refused(&format!("{before}[live]{after}"), &["s.toml", "h100", "without a [kv_transfer]"]);
}

#[test]
fn bad_fleets_are_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let refused = |text: &str, args: &[&str], parts: &[&str]| {
        std::fs::write(folder.path().join("s.toml"), text).expect("a file can be written");
        let output = sim(folder.path(), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said} without one of {parts:?}");
    };
    refused(SCENARIO, &["--workers", "3"], &["--workers", "groups"]);
    refused(SCENARIO, &["--profile", "lab-tp2"], &["--profile", "groups"]);
    let beside = SCENARIO.replace("seed = 1", "seed = 1\nworkers = 4");
    refused(&beside, &[], &["s.toml:7", "workers", "[[group]]"]);
    let model = SCENARIO.replace("llama-70b-fp8-2xh100", "qwen3-32b-bf16-2xh100");
    refused(&model, &[], &["s.toml", "model llama-3.1-70b and qwen3-32b"]);
    let twice = SCENARIO.replace("2xh100", "4xh100");
    refused(&twice, &[], &["s.toml", "llama-70b-fp8-4xh100", "twice"]);
    let empty = SCENARIO.replace("workers = 12", "workers = 0");
    refused(&empty, &[], &["s.toml", "].workers: 0, expected 1 to 65535"]);
    let none = SCENARIO.replace("[[group]]", "[[groups]]");
    refused(&none, &[], &["s.toml", "groups"]);
    let file = include_str!("../../../deploy/scenarios/default.toml");
    refused(&file.replace("workers = 16", ""), &[], &["s.toml", "workers", "[[group]]"]);
}
