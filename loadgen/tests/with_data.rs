//! Checks on public traces and published measurements, which are not in the repository. A test without
//! its data counts as ignored, never as passed.
//!
//! The data are in `../shared` beside the checkout. The test of reports needs Chromium,
//! and that of benchmark reports llm-d's reader of them.

mod common;

use common::benchmark_report::{read_by_llm_d, reader, reports};
use common::blind_spots::loses_to_none;
use common::browser::{browser, open};
use common::ladder::{climbs, hits, ladder, sim};
use common::object_store::{finds_as_much_and_gives_less, play};
use common::{loadgen, number, run};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;

const CONVERSATION: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/traces/mooncake-conversation.jsonl");
const AGENTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/traces/coding-agent-sessions.jsonl.gz");
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/reference");

fn main() -> ExitCode {
    let tests = vec![
        test("the_conversation_trace_hits_what_it_should", CONVERSATION, conversation_hits),
        test(
            "wider_scopes_hit_more_on_the_conversation_trace",
            CONVERSATION,
            wider_scopes_hit_more,
        ),
        test("docs_pools_has_the_figures_of_the_conversation_trace", CONVERSATION, object_store),
        test("the_house_rule_packs_no_fleet", CONVERSATION, packs_no_fleet),
        test("the_house_rule_keeps_what_fits", CONVERSATION, keeps_what_fits),
        test("the_house_rule_keeps_coding_agents_in_place", AGENTS, keeps_agents_in_place),
        test("the_engine_times_hold_against_measurements", REFERENCE, fidelity_gates),
        Trial::test("a_report_works_in_a_browser", || {
            works_in_a_browser();
            Ok(())
        })
        .with_ignored_flag(browser().is_none()),
        Trial::test("llm_d_reads_benchmark_reports", || {
            llm_d_reads_benchmark_reports();
            Ok(())
        })
        .with_ignored_flag(reader().is_none()),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// A test that needs `data`. It is ignored if they are missing.
fn test(name: &str, data: &str, check: fn()) -> Trial {
    let run = move || {
        check();
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(!Path::new(data).exists())
}

/// Figures that follow from the trace alone, on one worker with unlimited memory.
fn conversation_hits() {
    let hit = |block_size: &str| {
        let flags = ["--workers", "1", "--hbm-tokens", "unlimited", "--policies", "round-robin"];
        let args = ["sim", "--trace", CONVERSATION, "--block-size", block_size];
        let (_, report) = run(&[&args[..], &flags].concat());
        let run = &report["runs"][0];
        assert_eq!((&run["requests"], &run["errors"]), (&12_031.into(), &0.into()));
        let percent = |key: &str| number(&run[key]) * 100.0;
        (percent("hit_rate"), percent("hit_rate_blocks"))
    };
    let (tokens, blocks) = hit("512");
    assert!((tokens - 37.34).abs() <= 0.05, "{tokens} % of tokens");
    assert!((blocks - 38.19).abs() <= 0.05, "{blocks} % of full blocks");
    let (tokens, _) = hit("16");
    assert!((37.355..=37.385).contains(&tokens), "{tokens} % of tokens in blocks of 16");
}

fn wider_scopes_hit_more() {
    climbs(&ladder(&["--trace", CONVERSATION]));
    let one = hits(&sim(&["--trace", CONVERSATION]));
    let all = hits(&sim(&["--trace", CONVERSATION, "--tenants", "8", "--sharing", "all"]));
    assert_eq!(one, all, "sharing among all tenants is the same as one tenant");
}

/// The table of `docs/pools.md`.
fn object_store() {
    let (_, runs) = play(&["--trace", CONVERSATION]);
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

/// Loads on which a rule that counts prefill work alone lost to rules that know nothing.
fn packs_no_fleet() {
    let trace = ["--trace", CONVERSATION, "--tick-jitter"];
    loses_to_none(&[&trace[..], &["--rates", "4", "--workers", "64"]].concat());
}

fn keeps_what_fits() {
    let trace = ["--trace", CONVERSATION, "--tick-jitter"];
    let overload = ["--rates", "4", "--workers", "8", "--hbm-tokens", "2000000"];
    loses_to_none(&[&trace[..], &overload].concat());
}

/// Twice as many sessions as fit into the fleet's memory. With `returns`, the house rule keeps most of
/// them whole, at the cost of the tail.
fn keeps_agents_in_place() {
    let policies = "session-affinity,least-loaded,warmpath(returns=0.1)";
    let trace = ["sim", "--trace", AGENTS, "--shuffle", "--policies", policies];
    let (_, report) = run(&[&trace[..], &["--sessions", "128", "--workers", "16"]].concat());
    let [sticky, spread, ours] = report["runs"].as_array().expect("runs").as_slice() else {
        panic!("three rules: {report}")
    };
    for naive in [sticky, spread] {
        let mean = |run: &Value, of: &str| number(&run[of]["mean"]);
        for figure in ["ttft_s", "e2e_s"] {
            assert!(mean(ours, figure) < 0.75 * mean(naive, figure), "{figure}: {ours} {naive}");
        }
        assert!(number(&ours["hit_rate"]) > 1.25 * number(&naive["hit_rate"]), "{ours} {naive}");
        let good = |run: &Value| number(&run["goodput_requests_per_s"]);
        assert!(good(ours) > 1.25 * good(naive), "{ours} {naive}");
    }
}

fn fidelity_gates() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let args = ["fidelity", "--reference", REFERENCE, "--json", "f.json"];
    let output = loadgen(folder.path(), &args);
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    let text = format!("{out}{err}");
    assert!(output.status.success(), "{text}");
    // One gate is known to be missed. The report says why.
    let missed: Vec<&str> = text.lines().filter(|line| line.contains("MISSED")).collect();
    let is_known = |line: &&str| line.starts_with("the same, beyond 64 too (the servers' limits");
    assert!(missed.iter().all(is_known), "{missed:?}");
    assert!(text.matches("  met").count() >= 9, "{text}");
    let report = std::fs::read(folder.path().join("f.json")).expect("a report was written");
    let report: Value = serde_json::from_slice(&report).expect("a report is JSON");
    assert_eq!(report["schema"], "warmpath.fidelity.v1");
    assert!(report["steps"]["groups"].as_array().is_some_and(|groups| groups.len() > 50));
    // Without their model or their device served systems are predicted less well. docs/fidelity.md has the figures.
    let groups = report["served"]["vllm_left_out"]["groups"].as_array().expect("groups");
    let all = groups.iter().find(|group| group["what"] == "all").expect("all rows");
    for (column, median, p95) in [("model_left_out", 9.0, 30.0), ("device_left_out", 7.2, 24.0)] {
        let errors = &all[column];
        assert_eq!(errors["rows"], all["shipped"]["rows"], "{errors}");
        let is_met =
            number(&errors["median_percent"]) <= median && number(&errors["p95_percent"]) <= p95;
        assert!(is_met, "{column}: {errors}");
    }
}

/// At the width of a telephone and of a desk, in both schemes: no error, no request, a click sorts, and the page is
/// not wider than its window.
fn works_in_a_browser() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let output = loadgen(folder.path(), &["sim", "--html", "out.html"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let html = std::fs::read_to_string(folder.path().join("out.html")).expect("a file");
    for (width, is_dark) in [(390, false), (390, true), (1400, false), (1400, true)] {
        let found = open(folder.path(), &html, width, is_dark);
        let none: [String; 0] = [];
        assert_eq!(found["wrong"], serde_json::json!(none), "no error");
        assert_eq!(found["requests"], serde_json::json!(none), "no request");
        let numbers = |key: &str| -> Vec<f64> {
            found[key].as_array().expect("numbers").iter().map(number).collect()
        };
        let mut sorted = numbers("before");
        sorted.sort_by(f64::total_cmp);
        assert_ne!(numbers("before"), sorted, "the table was in another order");
        assert_eq!(numbers("up"), sorted);
        sorted.reverse();
        assert_eq!(numbers("down"), sorted);
        assert_eq!((&found["state"], &found["focused"]), (&"ascending".into(), &true.into()));
        assert!(number(&found["figures"]) > 9.0, "{found}");
        assert_eq!(found["figures"], found["drawn"], "each plot is drawn");
        assert!(number(&found["tables"]) > 100.0, "the data of plots: {found}");
        assert!(
            found["tip"].as_str().is_some_and(|tip| tip.contains("time to first token")),
            "{found}"
        );
        assert!(number(&found["wide"]) <= 0.0, "no wider than the window: {found}");
    }
    prints_whole_tables_on_white(folder.path(), &html);
    // The control: a page that asks for a file and has an error.
    let broken = html.replacen("</main>", "</main><img src=\"http://warmpath.invalid/x.png\"/>", 1);
    let caught = std::panic::catch_unwind(|| open(folder.path(), &broken, 390, false));
    assert!(caught.is_err(), "a request is seen");
}

/// The rules of the page for paper, in a window as wide as A4 between its margins.
fn prints_whole_tables_on_white(folder: &Path, html: &str) {
    let on_screen = open(folder, html, 703, true);
    let paper = html.replacen("@media print{", "@media all{", 1);
    let paper = paper.replacen("@media screen and (prefers", "@media not all and (prefers", 1);
    let found = open(folder, &paper, 703, true);
    assert_eq!(found["ground"], "rgb(255, 255, 255)", "white, whatever the reader's scheme");
    assert_ne!(on_screen["ground"], found["ground"]);
    assert_eq!((&found["arrow"], &found["data"]), (&"none".into(), &0.into()), "no control");
    assert!(number(&on_screen["data"]) > 9.0, "plots have their data on a screen");
    assert_eq!(found["figures"], found["drawn"], "each plot is there");
    assert!(number(&found["wide"]) <= 0.0, "no table is wider than the paper: {found}");
}

/// Reports of runs of all kinds: alike, mixed and made-up engines, a closed loop, tiers, devices, live.
fn llm_d_reads_benchmark_reports() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shared-profile.toml");
    let cases: [&[&str]; 5] = [
        &["sim", "--workload", "chat", "--workers", "4", "--rates", "0.5,1"],
        &["sim", "--scenario", "prefill-decode", "--policies", "kv-aware"],
        &["sim", "--scenario", "hybrid", "--policies", "kv-aware"],
        &[
            "sim",
            "--workload",
            "chat",
            "--workers",
            "2",
            "--profile",
            made,
            "--policies",
            "warmpath",
        ],
        &[
            "compare",
            "--workload",
            "chat",
            "--workers",
            "2",
            "--policies",
            "warmpath",
            "--live-requests",
            "50",
        ],
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let file = format!("{number}.yaml");
        let output = loadgen(folder.path(), &[case, &["--benchmark-report", &file]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.starts_with("error"), "{case:?}: {said}");
    }
    let files = reports(folder.path());
    let read = read_by_llm_d(&files);
    assert_eq!(read.len(), files.len(), "each report is read: {read:?}");
    assert!(read.len() >= 5 && read.iter().all(|line| line.contains(" 0.2 s ")), "{read:?}");
}
