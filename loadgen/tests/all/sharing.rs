//! Hit rates of the sharing scopes: a wider scope finds what a narrower one finds, and more.

use crate::common::ladder::{climbs, hits, ladder, sim};
use serde_json::Value;
use std::process::Command;

#[test]
fn each_scope_finds_more_than_the_narrower_one() {
    let rungs = ladder(&["--workload", "enterprise-kb"]);
    climbs(&rungs);
    // Documents belong to tenants. The operator's system prompts are the part that all can share.
    let public = hits(&sim(&[
        "--workload",
        "enterprise-kb",
        "--tenants",
        "8",
        "--sharing",
        "tenant+public",
    ]));
    assert!((public[0] - rungs[4][0]).abs() < 1e-9, "{public:?} and {rungs:?}");
    assert!(public[2] > 0.01 && rungs[2][2] == 0.0, "{public:?}");
    let alone = hits(&sim(&["--workload", "enterprise-kb", "--sharing", "none+public"]));
    assert_eq!((alone[0], alone[1], alone[3]), (alone[2], 0.0, 0.0), "{alone:?}");
    assert!(alone[2] > 0.05, "{alone:?}");
}

/// The fleet of a live run has the tenants, their tokens and the public prefixes. Its simulation finds
/// the same, except for effects of timing.
#[test]
fn a_live_run_has_the_tenants_too() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let json = folder.path().join("out.json");
    // Status 1 means that the machine was too slow, which does not matter here.
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["compare", "--workload", "enterprise-kb", "--policies", "kv-aware"])
        .args(["--workers", "2", "--tenants", "3", "--sharing", "tenant+public"])
        .args(["--live-requests", "30", "--speedup", "20", "--hbm-tokens", "unlimited", "--json"])
        .arg(&json)
        .output()
        .expect("loadgen starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read_to_string(json).unwrap_or_else(|error| panic!("{error}: {said}"));
    let report: Value = serde_json::from_str(&text).expect("a report is JSON");
    let [live, slice] = [0, 1].map(|run| &report["runs"][run]);
    assert_eq!((&live["mode"], &slice["mode"]), (&"live".into(), &"sim-slice".into()));
    assert_eq!((&live["requests"], &live["errors"]), (&30.into(), &0.into()), "{live}");
    let ([all, own, public, _], slice) = (hits(live), hits(slice));
    assert!(public > 0.0 && own > 0.0, "{live}");
    assert!((all - slice[0]).abs() < 0.15, "{all} live, {} in virtual time", slice[0]);
    assert_eq!(live["tenants"].as_array().map(Vec::len), Some(3), "{live}");
}
