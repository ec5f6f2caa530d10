//! `loadgen measure` against a worker of ours in this process, and what reads the rows that it writes.

use crate::common::{loadgen, number};
use serde_json::Value;
use std::path::Path;
use tokio::net::TcpListener;
use warmpath_core::engine::profile::Profile;
use warmpath_launch::profiles;
use warmpath_worker_sim::WorkerConfig;

const PROFILE: &str = "llama-8b-bf16-h100";
const HEADER: &str = "gpu,model,tp,precision,kv_dtype,phase,batch,input_len,prefix_len,context,ms,wall_ms,low_ms,\
                      high_ms,repeats,devices,provenance";

/// Runs `ask` with the address of a worker in real time.
fn with_worker(ask: impl FnOnce(&str)) {
    let profile: Profile = profiles::load(PROFILE, Path::new("")).expect("a profile of ours");
    let config = WorkerConfig { speedup: 1.0, ..WorkerConfig::new(profile) };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let _served =
        runtime.spawn(warmpath_worker_sim::serve(listener, config, std::future::pending()));
    ask(&url);
}

#[test]
fn rows_of_a_worker_are_read_by_fidelity_and_fit() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    with_worker(|url| {
        let grid = ["--lengths", "512,4096", "--prefixes", "0,8192", "--batches", "1,8"];
        let args = ["measure", "--worker", url, "--device", "h100", "--model", "llama-3.1-8b"];
        let rest = ["--contexts", "2048", "--repeats", "3", "--output", "steps.csv"];
        let output = loadgen(here, &[&args[..], &grid, &rest].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("prefill: 4096 tokens behind 8192: "), "{said}");
    });
    let csv = std::fs::read_to_string(here.join("steps.csv")).expect("rows were written");
    assert_eq!(csv.lines().next(), Some(HEADER));
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let points: Vec<[&str; 4]> = rows.iter().map(|row| [row[5], row[6], row[7], row[8]]).collect();
    let expected = [
        ["prefill", "1", "512", "0"],
        ["prefill", "1", "4096", "0"],
        ["prefill", "1", "512", "8192"],
        ["prefill", "1", "4096", "8192"],
        ["decode", "1", "1", "0"],
        ["decode", "8", "1", "0"],
    ];
    assert_eq!(points, expected);
    // The worker's clock cannot run ahead: a busy machine only makes it late. In milliseconds, from below.
    let least = [12.0, 95.0, 16.0, 120.0, 6.0, 6.5];
    for (row, least) in rows.iter().zip(least) {
        let ms: f64 = row[10].parse().expect("ms");
        assert!(ms > least, "{row:?} takes at least {least}");
    }

    let args = ["fidelity", "--measured", "steps.csv", "--json", "f.json"];
    let output = loadgen(here, &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read(here.join("f.json")).expect("a report was written");
    let report: Value = serde_json::from_slice(&report).expect("a report is JSON");
    let lines = report["whole"]["lines"].as_array().expect("lines");
    assert_eq!(lines.len(), 2, "prefill and decode: {lines:?}");
    for line in lines {
        // The worker takes the model's own times, and what this machine adds makes them longer.
        assert!(number(&line["shipped"]["bias_percent"]) < 4.0, "{line}");
    }

    let args = ["fit", "steps.csv", "--device", "h100", "--output", "own.toml"];
    let output = loadgen(here, &args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("6 whole steps") && said.contains("prefill, fitted: 4 rows"), "{said}");
    assert!(said.contains("host.lead_ms: "), "{said}");
    assert!(here.join("own.toml").exists());
}

#[test]
fn a_prefix_that_is_not_cached_is_no_row() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    with_worker(|url| {
        let args =
            ["measure", "--worker", url, "--device", "h100", "--model", "m", "--output", "s.csv"];
        // The second run sends the prompts of the first, which are cached.
        let grid = ["--lengths", "2048", "--prefixes", "0", "--batches", "1", "--contexts", "64"];
        let once = [&args[..], &grid, &["--repeats", "1", "--seed", "7"]].concat();
        let output = loadgen(here, &once);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = loadgen(here, &once);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("2048 tokens behind a prefix of 0: the engine found 20"), "{said}");
    });
}
