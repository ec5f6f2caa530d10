//! A figure over nothing is absent: null in the JSON, a dash in the table, nothing in the CSV. A row
//! with failures says how many there are, and past 1 % it is not valid.

use crate::common::loadgen;
use serde_json::Value;
use std::fmt::Write;

/// What a trace of (prompt tokens, answer tokens) gave with room for 8,192 tokens: the exit status,
/// the output, the report and the CSV.
struct Played {
    status: Option<i32>,
    table: String,
    report: Value,
    csv: String,
}

fn play(command: &str, requests: &[(u32, u32)], more: &[&str]) -> Played {
    let folder = tempfile::tempdir().expect("a folder for files");
    let mut trace = String::new();
    for (number, (prompt, answer)) in requests.iter().enumerate() {
        let blocks = (0..prompt.div_ceil(512)).map(|block| 1_000 * number as u32 + block);
        let blocks: Vec<u32> = blocks.collect();
        let _ = writeln!(
            trace,
            "{{\"timestamp\": {}, \"input_length\": {prompt}, \"output_length\": {answer}, \
             \"hash_ids\": {blocks:?}}}",
            500 * number
        );
    }
    std::fs::write(folder.path().join("trace.jsonl"), trace).expect("a file can be written");
    let args = [
        command,
        "--trace",
        "trace.jsonl",
        "--policies",
        "kv-aware",
        "--workers",
        "2",
        "--hbm-tokens",
        "8192",
        "--width",
        "240",
        "--json",
        "out.json",
        "--csv",
        "out.csv",
    ];
    let output = loadgen(folder.path(), &[&args, more].concat());
    let read = |name| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    Played {
        status: output.status.code(),
        table: String::from_utf8_lossy(&output.stdout).into_owned(),
        report: serde_json::from_str(&read("out.json")).expect("a report is JSON"),
        csv: read("out.csv"),
    }
}

/// Fits, and does not.
const SMALL: (u32, u32) = (600, 10);
const LARGE: (u32, u32) = (9_000, 10);

fn row<'a>(table: &'a str, begin: &str) -> &'a str {
    let found = table.lines().find(|line| line.starts_with(begin));
    found.unwrap_or_else(|| panic!("no line that begins with {begin} in\n{table}"))
}

#[test]
fn a_run_without_an_answer_has_no_latency_and_no_hit_rate() {
    let Played { status, table, report, csv } = play("sim", &[LARGE; 3], &[]);
    let run = &report["runs"][0];
    for key in [
        "hit_rate",
        "hit_rate_blocks",
        "hit_rate_by_tier",
        "hit_rate_by_owner",
        "ttft_s",
        "tpot_s",
        "e2e_s",
        "balance_max_over_mean",
    ] {
        assert!(run[key].is_null(), "{key}: {}", run[key]);
    }
    assert_eq!((&run["errors"], &run["valid"]), (&3.into(), &false.into()));
    assert_eq!(run["invalid_because"], "none of 3 requests was answered, so there are no figures");
    assert_eq!(status, Some(1));
    let line = row(&table, "kv-aware");
    assert!(line.contains("sim, 3 failed !") && line.matches(" -").count() >= 6, "{line}");
    assert!(
        table.contains("Requests failed: ") && table.contains("kv-aware sim 3 of 3"),
        "{table}"
    );
    let cells: Vec<&str> = csv.lines().nth(1).expect("a row").split(',').collect();
    let ttft = csv.lines().next().expect("a head").split(',').position(|key| key == "ttft_mean_s");
    assert_eq!(cells[ttft.expect("a column")], "", "{csv}");
}

#[test]
fn a_run_that_lost_a_third_of_its_requests_is_not_valid() {
    let requests = [SMALL, LARGE, SMALL, LARGE, SMALL, SMALL];
    for command in ["sim", "compare"] {
        let live = if command == "compare" { &["--live-requests", "0"][..] } else { &[] };
        let Played { status, table, report, .. } = play(command, &requests, live);
        let run = &report["runs"][0];
        assert_eq!((&run["errors"], &run["requests"]), (&2.into(), &4.into()));
        assert_eq!((&run["valid"], status), (&false.into(), Some(1)));
        let why = run["invalid_because"].as_str().expect("a reason");
        assert!(why.starts_with("2 of 6 requests failed, more than 1 %"), "{why}");
        assert!(row(&table, "kv-aware").contains("sim, 2 failed !"), "{table}");
    }
}

#[test]
fn a_row_over_several_seeds_says_how_many_failed() {
    let requests = [SMALL, LARGE, SMALL];
    let Played { status, table, report, .. } = play("sim", &requests, &["--seeds", "2"]);
    let row = &report["comparisons"][0];
    assert_eq!(
        (&row["errors"], &row["offered"], &row["valid"]),
        (&2.into(), &6.into(), &false.into())
    );
    assert_eq!(status, Some(1));
    assert!(table.contains("2 of 6 !"), "{table}");
    assert!(table.contains("! kv-aware sim at 1x is not valid with 2 seeds"), "{table}");
    // With answers in no seed, no mean over the seeds has a figure.
    let Played { report, .. } = play("sim", &[LARGE], &["--seeds", "2"]);
    let row = &report["comparisons"][0];
    for key in ["hit_percent", "ttft_mean_s", "ttft_p99_s", "tpot_mean_s", "e2e_mean_s"] {
        assert!(row[key].is_null(), "{key}: {}", row[key]);
    }
}

#[test]
fn one_failure_in_a_hundred_is_counted_and_valid() {
    let mut requests = vec![SMALL; 99];
    requests.push(LARGE);
    let Played { status, table, report, .. } = play("sim", &requests, &[]);
    assert_eq!((&report["runs"][0]["valid"], status), (&true.into(), Some(0)));
    let line = row(&table, "kv-aware");
    assert!(line.contains("sim, 1 failed") && !line.contains('!'), "{line}");
}

#[test]
fn answers_of_one_token_have_no_time_per_token() {
    let Played { status, table, report, .. } = play("sim", &[(600, 1); 3], &[]);
    let run = &report["runs"][0];
    assert!(run["tpot_s"].is_null(), "{}", run["tpot_s"]);
    assert!(run["ttft_s"]["mean"].is_number());
    assert_eq!((&run["valid"], status), (&true.into(), Some(0)));
    assert!(row(&table, "kv-aware").contains(" - "), "{table}");
    // They are left out of the mean and the percentiles of the others.
    let alone = play("sim", &[(600, 11)], &[]).report["runs"][0]["tpot_s"].clone();
    let beside = play("sim", &[(600, 11), (600, 1), (600, 1)], &[]).report["runs"][0].clone();
    assert_eq!(beside["tpot_s"], alone);
    assert_eq!(beside["requests"], 3);
}
