//! The scenario with an object store instead of a context memory.

use super::{number, run};
use serde_json::Value;

pub const SCENARIO: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/scenarios/object-store.toml");

/// The printed text, and the runs by variant: hbm, host, context memory, object store.
pub fn play(args: &[&str]) -> (String, Vec<Value>) {
    let (table, report) = run(&[&["sim", "--scenario", SCENARIO], args].concat());
    let runs = report["runs"].as_array().expect("runs").clone();
    let names: Vec<&str> = runs.iter().filter_map(|run| run["variant"].as_str()).collect();
    assert_eq!(names, ["hbm", "+host", "+context memory", "+object store"]);
    (table, runs)
}

/// It has nearly the hits of the context memory, loads fewer of them, and gains less.
pub fn finds_as_much_and_gives_less(runs: &[Value]) {
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
