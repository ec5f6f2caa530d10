//! The program as a person meets it: names from any folder, files to start from, errors all at once,
//! and output that cannot be written.

use crate::common::{loadgen, refused, run};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for files")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(folder: &Path, args: &[&str]) -> String {
    let output = loadgen(folder, args);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text in UTF-8")
}

/// Fifty requests on few workers: enough to see that a file can be used.
const SHORT: &str = "name = \"short\"\nworkers = 2\nprofile = \"llama-8b-bf16-h100\"\nworkload = \"w.toml\"\n\
    policies = [\"round-robin\"]\nseed = 1\n";

fn short_workload() -> String {
    let text = include_str!("../../src/init/workload.toml");
    text.replace("requests = 2000", "requests = 50")
}

#[test]
fn scenarios_have_names_that_work_from_any_folder() {
    let folder = folder();
    let json = printed(folder.path(), &["list", "scenarios", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let names: Vec<&str> =
        list["rows"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    let files = std::fs::read_dir("../deploy/scenarios").expect("the scenarios").count();
    assert_eq!(names.len(), files, "each file has a name: {names:?}");
    std::fs::write(folder.path().join("w.toml"), short_workload()).unwrap();
    for name in names.into_iter().filter(|name| !name.starts_with("hybrid-by-class")) {
        // A target that does not exist ends the run where the scenario has been resolved.
        let args = ["sim", "--scenario", name, "--workload", "./w.toml", "--baseline", "missing"];
        refused(folder.path(), &args, "--baseline: 'missing'");
    }
}

#[test]
fn every_kind_is_listed_in_each_format() {
    let folder = folder();
    for (kind, name) in [
        ("policies", "warmpath"),
        ("workloads", "assistant"),
        ("profiles", "llama-8b-bf16-h100"),
        ("devices", "h100"),
        ("models", "gpt-oss-120b"),
        ("scenarios", "prefill-decode"),
        ("formats", "mooncake"),
    ] {
        for format in ["text", "json", "csv"] {
            let text = printed(folder.path(), &["list", kind, "--format", format]);
            assert!(text.contains(name), "{kind} in {format}: {text}");
        }
    }
    assert!(printed(folder.path(), &["list"]).lines().count() > 80);
}

#[test]
fn an_unknown_name_is_answered_with_near_ones_and_what_a_path_needs() {
    let folder = folder();
    for (args, near) in [
        (["sim", "--scenario", "mixed_fleet"], "perhaps you meant mixed-fleet"),
        (["sim", "--workload", "asistant"], "perhaps you meant assistant"),
        (["sim", "--profile", "gpt-oss"], "perhaps you meant gpt-oss-120b-h200"),
        (["init", "profile", "--device=h10"], "perhaps you meant h100"),
    ] {
        refused(folder.path(), &args, near);
        refused(folder.path(), &args, "a path with a / or the ending .toml");
    }
}

#[test]
fn a_file_to_start_from_runs_as_it_is_and_is_not_overwritten() {
    let folder = folder();
    let here = folder.path();
    for kind in ["profile", "workload", "scenario", "device"] {
        let text = printed(here, &["init", kind]);
        assert!(
            text.contains(&format!("./{kind}.toml"))
                || text.contains(&format!("{kind}.toml is written")),
            "{text}"
        );
        refused(here, &["init", kind], "exists, expected a new file, - or --force");
        printed(here, &["init", kind, "--force"]);
        let text = printed(here, &["init", kind, "-"]);
        assert_eq!(text, std::fs::read_to_string(here.join(format!("{kind}.toml"))).unwrap());
        assert!(text.starts_with('#'));
    }
    let sim = ["sim", "--policies", "round-robin"];
    printed(
        here,
        &[&sim[..], &["--workload", "workload.toml", "--profile", "profile.toml"]].concat(),
    );
    printed(
        here,
        &[&sim[..], &["--scenario", "scenario.toml", "--workload", "workload.toml"]].concat(),
    );
    printed(
        here,
        &[
            "init",
            "profile",
            "p.toml",
            "--device",
            "./device.toml",
            "--model",
            "qwen3-32b",
            "--tp",
            "2",
        ],
    );
    let text = printed(
        here,
        &[&sim[..], &["--workload", "workload.toml", "--profile", "p.toml"]].concat(),
    );
    assert!(text.contains("unvalidated"), "{text}");
}

/// What a file shows in comments can be used too.
#[test]
fn the_commented_tables_can_be_used() {
    let folder = folder();
    for kind in ["profile", "workload"] {
        let text = printed(folder.path(), &["init", kind, "-"]);
        let tables =
            ["[[tier]]", "name = \"host\"", "tokens", "load_gb_s", "store_gb_s", "latency_us"];
        let more = ["eviction", "fill", "loads", "[documents]", "count", "zipf"];
        let used = tables
            .iter()
            .chain(&more)
            .fold(text, |text, key| text.replace(&format!("\n# {key}"), &format!("\n{key}")));
        assert!(used.contains("\n[[tier]]") || used.contains("\n[documents]"), "{used}");
        std::fs::write(folder.path().join(format!("{kind}.toml")), used).unwrap();
    }
    let files = ["--profile", "./profile.toml", "--workload", "./workload.toml"];
    printed(folder.path(), &[&["sim", "--policies", "round-robin"][..], &files].concat());
}

/// Mixtral's sizes, which no built-in model has.
const CONFIG: &str = r#"{"architectures": ["MixtralForCausalLM"], "hidden_size": 4096,
    "intermediate_size": 14336, "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "num_local_experts": 8, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "vocab_size": 32000}"#;

#[test]
fn a_profile_from_a_config_says_what_its_times_rest_on_and_runs() {
    let folder = folder();
    let here = folder.path();
    std::fs::write(here.join("config.json"), CONFIG).unwrap();
    std::fs::write(here.join("w.toml"), short_workload()).unwrap();
    let init =
        ["init", "profile", "m.toml", "--model", "config.json", "--device", "h100", "--tp", "2"];
    printed(here, &init);
    let text = std::fs::read_to_string(here.join("m.toml")).unwrap();
    for part in [
        "# 46.7 billion parameters, of which a token uses 12.7; 131072 bytes of KV a token",
        "# Step times: unvalidated, up to 40 % off",
        "[model.experts]\nlayers = 32\nexperts = 8\nper_token = 2\nwidth = 14336",
        "tp = 2\nprecision = \"bf16\"",
    ] {
        assert!(text.contains(part), "{text} without {part}");
    }
    let (table, report) = run(&[
        "sim",
        "--profile",
        here.join("m.toml").to_str().unwrap(),
        "--workload",
        here.join("w.toml").to_str().unwrap(),
        "--policies",
        "warmpath",
    ]);
    assert!(table.contains("mixtral-47b-bf16-2xh100"), "{table}");
    assert_eq!(report["config"]["profile"]["kv_bytes_per_token"], 131_072);
    // On one device there is no room.
    refused(here, &["init", "profile", "-", "--model", "config.json"], "config.json on 1 h100");
    std::fs::write(here.join("bad.json"), "{\"architectures\": [\"OPTForCausalLM\"]}").unwrap();
    let output = loadgen(here, &["init", "profile", "-", "--model", "bad.json"]);
    let lines = said(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(lines.lines().count() > 4 && lines.contains("without a gate"), "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("error: bad.json: ")), "{lines}");
    refused(here, &["init", "workload", "--tp", "2"], "--tp: a workload has no such part");
}

#[test]
fn all_errors_of_a_file_are_said_at_once_each_with_its_line() {
    let folder = folder();
    let here = folder.path();
    let bad = SHORT
        .replace("workers = 2", "workers = 4294967295")
        .replace("seed = 1", "sed = 1\n[slo]\nttft_s = -1.0\n[network]\nhop_us = 'fast'");
    std::fs::write(here.join("s.toml"), bad).unwrap();
    let lines = |args: &[&str]| -> Vec<String> {
        let output = loadgen(here, args);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        said(&output).lines().map(str::to_owned).collect()
    };
    assert_eq!(
        lines(&["sim", "--scenario", "s.toml"]),
        [
            "error: s.toml:2: workers: 4294967295, expected 1 to 65535",
            "error: s.toml:6: sed: unknown field `sed`, perhaps you meant seed; known are name, \
             workers, profile, group, workload, policies, policy, seed, live, slo, network, routers, \
             queue, reliability, admission, pool, fault, handover, kv_transfer, devices, sharing, \
             variant",
            "error: s.toml:8: slo.ttft_s: -1, expected seconds, more than 0 and at most 120",
            "error: s.toml:10: network.hop_us: \"fast\", expected a number",
        ]
    );
    std::fs::write(
        here.join("s.toml"),
        SHORT.replace("llama-8b-bf16-h100", "llama-8b-bf16").replace("w.toml", "chatt"),
    )
    .unwrap();
    let names = lines(&["sim", "--scenario", "s.toml"]);
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names[0].starts_with("error: s.toml:3: profile: unknown profile 'llama-8b-bf16'"),
        "{names:?}"
    );
    assert!(
        names[1].starts_with(
            "error: s.toml:4: workload: unknown workload 'chatt', perhaps you meant chat"
        ),
        "{names:?}"
    );

    std::fs::write(
        here.join("w.toml"),
        "name = 'w'\nturns = 0\nuser_tokens = 100\n[arrivals.poisson]\nrate = 1\n",
    )
    .unwrap();
    let workload = lines(&["sim", "--workload", "w.toml"]);
    assert_eq!(
        workload.iter().filter(|line| line.contains("missing, expected")).count(),
        7,
        "{workload:?}"
    );
    assert!(workload.contains(&"error: w.toml:2: turns: mean 0 and cv 0, expected a mean from 1 to 1e9 and a cv from 0 to 100".to_owned()), "{workload:?}");

    let mix = "name = 'm'\n[[class]]\nrate = 1.0\n[[class]]\nworkload = 'chat'\nrate = -1.0\n[[class]]\nworkload = 'missing'\n";
    std::fs::write(here.join("m.toml"), mix).unwrap();
    let classes = lines(&["sim", "--workload", "m.toml"]);
    assert_eq!(classes, ["error: m.toml:2: class[0].workload: missing, expected a text in quotes"]);
    std::fs::write(here.join("m.toml"), mix.replace("[[class]]\nrate = 1.0\n", "")).unwrap();
    let classes = lines(&["sim", "--workload", "m.toml"]);
    assert!(
        classes[0].starts_with("error: m.toml:4: rate: -1, expected a number above 0"),
        "{classes:?}"
    );
    assert!(
        classes[1].starts_with("error: m.toml:6: workload: unknown workload 'missing'"),
        "{classes:?}"
    );

    let device = include_str!("../../src/init/device.toml");
    std::fs::write(here.join("d.toml"), device.replace("80.0 ", "-80.0 ").replace("3.35 ", "0.0 "))
        .unwrap();
    let device = lines(&["init", "profile", "-", "--device", "./d.toml"]);
    assert_eq!(device.len(), 2, "{device:?}");
}

/// What is not in the file has the values of the built-in scenario, and a number is a constant amount.
#[test]
fn tables_have_defaults_and_a_number_is_a_constant() {
    let folder = folder();
    let here = folder.path();
    let bare = |text: &str| {
        text.replace("turns = { mean = 4.0, cv = 0.5 }", "turns = 4")
            .replace("think_s = { mean = 10.0, cv = 0.5 }", "think_s = 2.5")
    };
    std::fs::write(here.join("w.toml"), bare(&short_workload())).unwrap();
    std::fs::write(here.join("s.toml"), SHORT).unwrap();
    let (_, report) = run(&["sim", "--scenario", here.join("s.toml").to_str().unwrap()]);
    let config = &report["config"];
    assert_eq!(config["slo"], serde_json::json!({"ttft_s": 2.0, "tpot_s": 0.1}));
    assert_eq!(config["network"]["hop_us"], 100.0);
    assert_eq!(config["live"]["requests"], 100);
    assert_eq!(config["source"]["sessions"]["turns"], serde_json::json!({"mean": 4.0, "cv": 0.0}));
    assert_eq!(config["source"]["sessions"]["think_s"]["mean"], 2.5);
}

#[test]
fn output_that_cannot_be_written_is_one_line_and_status_1() {
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    let folder = folder();
    std::fs::write(
        folder.path().join("t.jsonl"),
        "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 4, \"hash_ids\": [1, 2]}\n",
    )
    .unwrap();
    let all: [&[&str]; 13] = [
        &["--help"],
        &["--version"],
        &["list"],
        &["policies"],
        &["columns"],
        &["export"],
        &["export", "--rule", "dynamo", "--to", "dynamo"],
        &["init", "workload", "-"],
        &["completions", "bash"],
        &["man"],
        &["trace", "check", "t.jsonl", "--json"],
        &["trace", "convert", "t.jsonl", "--to", "dynamo", "--out", "d.jsonl"],
        &["sim", "--trace", "t.jsonl"],
    ];
    for args in all {
        let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .current_dir(folder.path())
            .args(args)
            .stdout(full.try_clone().expect("a second handle"))
            .stderr(Stdio::piped())
            .output()
            .expect("loadgen starts");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        assert!(text.starts_with("error: standard output: "), "{args:?}: {text}");
    }
}

#[test]
fn completions_manual_and_version_name_what_there_is() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(folder.path(), &["completions", shell]);
        assert!(text.contains("generations") && text.contains("policies"), "{shell}");
    }
    assert!(printed(folder.path(), &["man"]).contains(".TH loadgen 1"));
    printed(folder.path(), &["man", "pages"]);
    assert!(folder.path().join("pages/loadgen-sim.1").is_file());
    let version = printed(folder.path(), &["--version"]);
    assert!(version.starts_with("loadgen 0.1.0 (commit "), "{version}");
}

#[test]
fn colours_are_for_terminals() {
    let folder = folder();
    for args in [&["--help"][..], &["sim", "--workers", "x"], &["list"]] {
        let output = loadgen(folder.path(), args);
        assert!(![output.stdout, output.stderr].concat().contains(&0x1b), "{args:?}");
    }
}

fn report_of(workload: &str, policy: &str, more: &[&str]) -> (String, serde_json::Value) {
    let folder = folder();
    let file = folder.path().join("w.toml");
    std::fs::write(&file, workload).unwrap();
    let args = [
        "sim",
        "--profile",
        "llama-8b-bf16-h100",
        "--policies",
        policy,
        "--workload",
        file.to_str().unwrap(),
    ];
    run(&[&args[..], more].concat())
}

#[test]
fn a_fleet_that_thrashes_and_a_rule_that_packs_are_noted() {
    let busy = short_workload()
        .replace("requests = 50", "requests = 400")
        .replace("sessions_per_s = 1.0", "sessions_per_s = 3.0");
    let healthy = report_of(&busy, "round-robin", &["--workers", "4"]);
    assert!(healthy.1["runs"][0].get("signs").is_none(), "{}", healthy.0);
    assert!(!healthy.0.contains("thrashes") && !healthy.0.contains("packs"), "{}", healthy.0);

    // Every prompt fits into a worker, but few sessions do.
    let short = busy.replace("max_context_tokens = 32000", "max_context_tokens = 6000");
    let (table, report) =
        report_of(&short, "round-robin", &["--workers", "4", "--hbm-tokens", "8000"]);
    let sign = &report["runs"][0]["signs"][0];
    assert_eq!(sign["sign"], "thrash", "{table}");
    assert!(sign["evictions_per_request"].as_f64().unwrap() > 1.0);
    assert!(sign["working_set_over_memory"].as_f64().unwrap() > 1.0);
    assert!(table.contains("round-robin sim thrashes: "), "{table}");

    // A trace has turns too: two sessions take turns, 10 s apart, on workers with room for one.
    let folder = folder();
    let rows = (0..40).map(|i| {
        let (session, blocks) = (i % 2, 2 + i / 2);
        let tail = 10_000 + i;
        let ids: Vec<u64> =
            (0..blocks).map(|block| session * 1_000 + block).chain([tail]).collect();
        let (at, tokens) = (i * 5_000, blocks * 512 + 100);
        format!("{{\"timestamp\": {at}, \"input_length\": {tokens}, \"output_length\": 20, \"hash_ids\": {ids:?}}}\n")
    });
    let trace = folder.path().join("t.jsonl");
    std::fs::write(&trace, rows.collect::<String>()).unwrap();
    let args = ["sim", "--trace", trace.to_str().unwrap(), "--policies", "round-robin"];
    let more = ["--profile", "llama-8b-bf16-h100", "--workers", "1", "--hbm-tokens", "12800"];
    let (table, report) = run(&[&args[..], &more].concat());
    let engine = &report["runs"][0]["engine"];
    let over = engine["working_set_over_memory"].as_f64().unwrap();
    let gap = over * engine["kv_life_s"].as_f64().unwrap();
    assert!((gap - 10.0).abs() < 1e-6, "{gap}: {table}");

    // One session after the other: a rule that keeps a session on its worker has one busy worker.
    let one = short_workload()
        .replace("requests = 50", "requests = 80")
        .replace("system_prompts = 4 ", "system_prompts = 1 ")
        .replace("turns = { mean = 4.0, cv = 0.5 }", "turns = 80")
        .replace("user_tokens = { mean = 500.0, cv = 0.6 }", "user_tokens = 100")
        .replace("[arrivals.poisson]\nsessions_per_s = 1.0", "[arrivals.closed]\nsessions = 1");
    let (table, report) = report_of(&one, "session-affinity", &["--workers", "4"]);
    let sign = &report["runs"][0]["signs"][0];
    assert_eq!((&sign["sign"], &sign["workers"]), (&"packed".into(), &4.into()), "{table}");
    assert!(
        table.contains("session-affinity sim packs: the busiest worker computes 4.0 times"),
        "{table}"
    );
}

#[test]
fn quiet_says_nothing_on_standard_error() {
    let folder = folder();
    std::fs::write(folder.path().join("w.toml"), short_workload()).unwrap();
    let output = loadgen(
        folder.path(),
        &["sim", "--quiet", "--workload", "w.toml", "--policies", "round-robin"],
    );
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
}
