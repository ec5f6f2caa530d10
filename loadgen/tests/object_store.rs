//! An object store in the place of a context-memory pool, as `docs/pools.md` has it.

mod common;

use common::{loadgen, number, run};
use serde_json::Value;
use std::path::Path;

const SCENARIO: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/scenarios/object-store.toml");

/// What was printed, and the runs by variant: hbm, host, context memory, object store.
fn play(args: &[&str]) -> (String, Vec<Value>) {
    let (table, report) = run(&[&["sim", "--scenario", SCENARIO], args].concat());
    let runs = report["runs"].as_array().expect("runs").clone();
    let names: Vec<&str> = runs.iter().filter_map(|run| run["variant"].as_str()).collect();
    assert_eq!(names, ["hbm", "+host", "+context memory", "+object store"]);
    (table, runs)
}

/// It finds nearly what the context memory does, brings less of it, and gives less for it.
fn finds_as_much_and_gives_less(runs: &[Value]) {
    let of = |i: usize, key: &str| number(&runs[i][key]);
    let ttft = |i: usize| number(&runs[i]["ttft_s"]["mean"]);
    let engine = |i: usize, key: &str| number(&runs[i]["engine"][key]);
    assert!((of(2, "hit_rate") - of(3, "hit_rate")).abs() < 0.01, "{runs:?}");
    assert!(of(3, "hit_rate") > of(1, "hit_rate") + 0.004, "more than without a pool: {runs:?}");
    assert!(ttft(3) > ttft(2) * 1.02, "{} and {}", ttft(3), ttft(2));
    assert!(engine(3, "fetched_bytes") < 0.5 * engine(2, "fetched_bytes"), "{runs:?}");
    assert!(engine(3, "load_wait_s") > 2.0 * engine(2, "load_wait_s"), "{runs:?}");
    let busy = |i: usize| number(&runs[i]["engine"]["pool"]["link_utilisation"]);
    assert!(busy(3) > 3.0 * busy(2) && busy(3) < 1.0, "{runs:?}");
}

#[test]
fn an_object_store_finds_what_a_context_memory_does_and_gives_less() {
    let (table, runs) = play(&[]);
    finds_as_much_and_gives_less(&runs);
    for part in ["links busy %", "kv-aware, +object store"] {
        assert!(table.contains(part), "{table}");
    }
    assert!(runs[1]["engine"]["pool"].is_null() && runs[2]["engine"]["peers"].is_null());
}

/// The table of `docs/pools.md`. Not checked where the trace is not there.
#[test]
fn the_conversation_trace_has_the_figures_of_the_docs() {
    let trace =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/traces/mooncake-conversation.jsonl");
    if !Path::new(trace).exists() {
        eprintln!("skipped: {trace} is not there");
        return;
    }
    let (_, runs) = play(&["--trace", trace]);
    finds_as_much_and_gives_less(&runs);
    let docs = include_str!("../../docs/pools.md");
    let rows = ["| HBM |", "| + host memory |", "| + context memory", "| + object store"];
    for (row, run) in rows.into_iter().zip(&runs) {
        let line = docs.lines().find(|line| line.starts_with(row)).expect("a row of the table");
        let hit = format!("| {:.1} |", number(&run["hit_rate"]) * 100.0);
        let ttft = format!("| {:.3} |", number(&run["ttft_s"]["mean"]));
        assert!(line.contains(&hit) && line.contains(&ttft), "{line}: {hit} {ttft}");
    }
}

#[test]
fn another_pool_that_cannot_be_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let text = std::fs::read_to_string(SCENARIO).expect("the scenario is there");
    let refused = |from: &str, to: &str, part: &str| {
        assert!(text.contains(from), "{from}");
        let path = folder.path().join("scenario.toml");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("a file can be written");
        common::refused(folder.path(), &["sim", "--scenario", "scenario.toml"], part);
    };
    let of = "variant \"+object store\": instead.";
    refused("gb_s = 4.6 ", "gb_s = -1.0 ", &format!("{of}link.gb_s: -1, expected more than 0"));
    refused("tokens = 1_000_000_000", "tokens = 3", &format!("{of}pool.tokens"));
    let last = text.rfind("pool = true").expect("the last variant has a pool");
    let without = format!("{}pool = false{}", &text[..last], &text[last + 11..]);
    let path = folder.path().join("without.toml");
    std::fs::write(&path, without).expect("a file can be written");
    let output = loadgen(folder.path(), &["sim", "--scenario", "without.toml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("pool = false, expected pool = true"), "{said}");
}
