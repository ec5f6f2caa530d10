//! Sharing scopes by what they are worth: each circle finds what the narrower one finds, and more.

mod common;

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// One worker that forgets nothing and is hardly busy, so that a hit hangs on the scope alone.
fn sim(args: &[&str]) -> Value {
    let alone = ["sim", "--policies", "round-robin", "--workers", "1", "--rate-scale", "0.05"];
    let (_, report) = common::run(&[&alone[..], &["--hbm-tokens", "unlimited"], args].concat());
    report["runs"][0].clone()
}

fn number(run: &Value, key: &str) -> f64 {
    run[key].as_f64().unwrap_or_else(|| panic!("{key} in {run}"))
}

/// The hit rate and its parts: own session, public, other sessions. Checks that they add up, over
/// owners and over tenants.
fn hits(run: &Value) -> [f64; 4] {
    let of = &run["hit_rate_by_owner"];
    let [own, public, other] =
        ["own_session", "public", "other_session"].map(|key| number(of, key));
    let all = number(run, "hit_rate");
    assert!((own + public + other - all).abs() < 1e-9, "{of} and {all}");
    if let Some(tenants) = run["tenants"].as_array() {
        let requests: f64 = tenants.iter().map(|tenant| number(tenant, "requests")).sum();
        assert_eq!(requests, number(run, "requests"));
        let (least, most) = tenants.iter().fold((1.0_f64, 0.0_f64), |(least, most), tenant| {
            let hits = number(tenant, "hit_rate");
            assert!(number(tenant, "ttft_p50_s") <= number(tenant, "ttft_p95_s"));
            (least.min(hits), most.max(hits))
        });
        assert!((least..=most).contains(&all), "{all} in {least}..={most}");
    }
    [all, own, public, other]
}

fn ladder(source: &[&str]) -> [[f64; 4]; 5] {
    ["none", "session", "tenant", "group:2", "all"].map(|scope| {
        let run = sim(&[source, &["--tenants", "8", "--sharing", scope]].concat());
        assert_eq!(run["tenants"].as_array().map(Vec::len), Some(8), "{scope}");
        hits(&run)
    })
}

fn climbs(rungs: &[[f64; 4]; 5]) {
    assert!(rungs.is_sorted_by(|a, b| a[0] < b[0]), "{rungs:?}");
    let [none, session, wider @ ..] = rungs;
    assert_eq!(*none, [0.0; 4]);
    // Within a session everything is its own, and that part stays what it is.
    assert_eq!((session[1], session[2], session[3]), (session[0], 0.0, 0.0));
    assert!(wider.iter().all(|rung| (rung[1] - session[1]).abs() < 1e-9), "{rungs:?}");
}

#[test]
fn each_scope_finds_more_than_the_one_within_it() {
    let rungs = ladder(&["--workload", "enterprise-kb"]);
    climbs(&rungs);
    // The documents are the tenants' own; the operator's system prompts are what all can share.
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

/// Not checked where the trace is not there.
#[test]
fn a_trace_dealt_to_tenants_climbs_the_same_ladder() {
    let trace =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/traces/mooncake-conversation.jsonl");
    if !Path::new(trace).exists() {
        eprintln!("skipped: {trace} is not there");
        return;
    }
    climbs(&ladder(&["--trace", trace]));
    let one = hits(&sim(&["--trace", trace]));
    let all = hits(&sim(&["--trace", trace, "--tenants", "8", "--sharing", "all"]));
    assert_eq!(one, all, "one tenant is all that there is");
}

/// The fleet of a live leg is given the tenants, their tokens and what is public; its slice in virtual
/// time finds the same, but for what timing changes.
#[test]
fn a_live_leg_plays_the_tenants_too() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let json = folder.path().join("out.json");
    // Status 1 says that the machine was too slow for the pace, which is not asked here.
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
