//! Live against simulated: the same requests through sockets and in virtual time. This is the only test
//! that depends on the clock. It judges only valid runs, and fails after three attempts that were not
//! valid, that took too long, or in which the two differ. Each attempt has half the speedup of the one before:
//! what a busy machine adds is then half as much of the model's time, and what the code does otherwise is as much
//! as before.

use serde_json::Value;
use std::fs::File;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// By which the speedup of each attempt is divided.
const ATTEMPTS: [f64; 3] = [1.0, 2.0, 4.0];
/// The first attempt takes less than a minute on a machine that is idle.
const LONGEST_RUN: Duration = Duration::from_secs(300);

/// The report of a `compare`, and whether all its runs are valid. None: it did not end.
fn compare(args: &[&str]) -> Option<(Value, bool)> {
    let folder = tempfile::tempdir().expect("a folder for files");
    let [json, said] = ["out.json", "said"].map(|name| folder.path().join(name));
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["compare", "--json"])
        .arg(&json)
        .args(args)
        .stdout(File::create(folder.path().join("table")).expect("a file"))
        .stderr(File::create(&said).expect("a file"))
        .spawn()
        .expect("loadgen starts");
    let until = Instant::now() + LONGEST_RUN;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        if Instant::now() >= until {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
            eprintln!("{}", std::fs::read_to_string(&said).unwrap_or_default());
            return None;
        }
        sleep(Duration::from_millis(50));
    };
    let said = std::fs::read_to_string(&said).expect("what it said");
    let text = std::fs::read_to_string(json).unwrap_or_else(|_| panic!("no report: {said}"));
    let report: Value = serde_json::from_str(&text).expect("a report is JSON");
    let valid = runs(&report).all(|run| run["valid"] == true);
    assert_eq!(status.code(), Some(if valid { 0 } else { 1 }), "{said}");
    Some((report, valid))
}

fn runs(report: &Value) -> impl Iterator<Item = &Value> {
    report["runs"].as_array().expect("runs").iter()
}

fn find<'a>(report: &'a Value, policy: &str, mode: &str) -> &'a Value {
    let found = runs(report).find(|run| run["policy"] == policy && run["mode"] == mode);
    found.unwrap_or_else(|| panic!("no {mode} of {policy}"))
}

fn hit_percent(run: &Value) -> f64 {
    run["hit_rate"].as_f64().expect("a number") * 100.0
}

fn mean_ttft(run: &Value) -> f64 {
    run["ttft_s"]["mean"].as_f64().expect("a number")
}

/// Prompt tokens that came from a pool or from peers, in percent.
fn fetched_percent(run: &Value) -> f64 {
    let by_origin = run["hit_rate_by_tier"].as_array().expect("a list");
    by_origin[4..].iter().map(|rate| rate.as_f64().expect("a number") * 100.0).sum()
}

/// Repeats until a run is valid and live and simulated agree. A busy machine can only push them apart,
/// and a difference in the code is there in each attempt.
fn assert_parity(args: &[&str], speedup: f64) -> Value {
    let mut why = Vec::new();
    for slower in ATTEMPTS {
        let speedup = (speedup / slower).to_string();
        let apart = match compare(&[args, &["--speedup", &speedup]].concat()) {
            None => format!("not ended after {LONGEST_RUN:?}"),
            Some((report, false)) => not_valid(&report),
            Some((report, true)) => match apart(&report) {
                None => return report,
                Some(apart) => apart,
            },
        };
        why.push(apart);
    }
    panic!("{} runs in a row: {}", why.len(), why.join("; "));
}

fn not_valid(report: &Value) -> String {
    let why = runs(report).filter_map(|run| run["invalid_because"].as_str());
    format!("not valid: {}", why.collect::<Vec<_>>().join("; "))
}

/// How the live runs of a report differ from their simulations. None: they agree.
fn apart(report: &Value) -> Option<String> {
    let played = runs(report).filter(|run| run["mode"] == "live");
    for policy in played.map(|run| run["policy"].as_str().expect("a name")) {
        let (live, sim) = (find(report, policy, "live"), find(report, policy, "sim-slice"));
        assert_eq!(live["errors"], 0, "{live}");
        assert_eq!(live["requests"], sim["requests"]);
        let utilisation = sim["engine"]["utilisation"].as_f64().expect("a number");
        assert!(utilisation <= 0.6, "{policy} runs at {utilisation}");
        let points = hit_percent(live) - hit_percent(sim);
        if points.abs() > 2.0 {
            return Some(format!("{policy}: hit rates are {points:.2} points apart"));
        }
        let ratio = mean_ttft(live) / mean_ttft(sim);
        if !(0.9..=1.1).contains(&ratio) {
            return Some(format!("{policy}: mean TTFT is {ratio:.3} times the other"));
        }
    }
    None
}

// One test, since two fleets at the same time would slow each other.
#[test]
fn a_live_fleet_and_its_simulation_agree() {
    let policies = ["--policies", "round-robin,warmpath", "--live-requests", "160"];
    let report = assert_parity(&policies, 10.0);
    for mode in ["live", "sim-slice", "sim"] {
        let (naive, aware) = (find(&report, "round-robin", mode), find(&report, "warmpath", mode));
        let points = hit_percent(aware) - hit_percent(naive);
        assert!(points >= 15.0, "{mode}: warmpath is {points:.1} points ahead");
        let ratio = mean_ttft(aware) / mean_ttft(naive);
        assert!(ratio <= 0.7, "{mode}: warmpath's mean TTFT is {ratio:.2} of round-robin's");
    }
    let long = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/long-messages.toml");
    let two = ["--policies", "round-robin,kv-aware", "--live-requests", "120"];
    assert_parity(&[&["--workload", long], &two[..]].concat(), 20.0);
    // With a pool, and with peer fetches.
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shared-pool.toml");
    let report = assert_parity(&["--scenario", shared], 10.0);
    for policy in ["round-robin", "kv-aware"] {
        let (live, sim) = (find(&report, policy, "live"), find(&report, policy, "sim-slice"));
        let (live, sim) = (fetched_percent(live), fetched_percent(sim));
        assert!(sim >= 5.0, "{policy}: {sim:.1} % came from others, too little to compare");
        assert!((live - sim).abs() <= 3.0, "{policy}: {live:.1} % and {sim:.1} % came from others");
    }
}
