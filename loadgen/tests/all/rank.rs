//! One ranking over many reports.

use crate::common::{loadgen, refused};
use std::path::Path;

/// A report with one run for each policy: its label, mean TTFT, mean E2E and goodput.
fn report(folder: &Path, name: &str, runs: &[(&str, f64, f64, f64)]) {
    let run = |&(policy, ttft, e2e, goodput): &(&str, f64, f64, f64)| {
        serde_json::json!({
            "policy": policy, "mode": "sim", "rate_scale": 1.0, "seed": 1, "offered": 100, "errors": 0,
            "ttft_s": {"mean": ttft, "p99": ttft * 4.0}, "e2e_s": {"mean": e2e, "p99": e2e},
            "goodput_requests_per_s": goodput,
        })
    };
    let runs: Vec<_> = runs.iter().map(run).collect();
    let text = serde_json::json!({ "runs": runs }).to_string();
    std::fs::write(folder.join(name), text).expect("a file can be written");
}

#[test]
fn ratios_are_geometric_means_over_the_reports() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = folder.path();
    report(path, "a.json", &[("warmpath", 1.0, 4.0, 9.0), ("round-robin", 4.0, 5.0, 6.0)]);
    report(path, "b.json", &[("warmpath", 0.2, 8.0, 2.0), ("round-robin", 0.1, 6.0, 3.0)]);
    let args = ["rank", "a.json", "b.json", "--policy", "warmpath", "--width", "200"];
    let output = loadgen(path, &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let cells = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("no {start} in {text}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // The roots of 1 x 2, 1 x 4/3, and 1 x 2/3; and of 4 x 1, 5/4 x 1, 2/3 x 1.
    assert_eq!(cells("warmpath"), ["warmpath", "2", "1", "1.414", "2.000", "1.155", "0.816"]);
    assert_eq!(cells("round-robin"), ["round-robin", "2", "1", "2.000", "4.000", "1.118", "0.816"]);
    // Behind in b only, by each figure, with what it costs.
    let behind = text.split("Where warmpath is behind").nth(1).expect("a second table");
    let rows: Vec<_> = behind.lines().filter(|line| line.starts_with("b ")).collect();
    assert_eq!(rows.len(), 5, "{behind}");
    assert!(rows[0].contains("rival") && rows[0].ends_with("+33.3 %"), "{behind}");
    assert!(!behind.contains("\na "), "{behind}");
    let output = loadgen(path, &["rank", "a.json", "b.json", "--html", "r.html"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let html = std::fs::read_to_string(path.join("r.html")).expect("a file");
    assert!(
        html.contains("warmpath is nearest to the best: its mean TTFT is 1.414 times"),
        "{html}"
    );
    assert!(html.contains("Mean TTFT over the best of each cell"), "its plot");
}

#[test]
fn a_rival_is_slower_to_the_end_by_little() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = folder.path();
    report(path, "a.json", &[("warmpath", 1.0, 4.0, 9.0), ("mooncake", 0.5, 5.0, 9.0)]);
    let args = ["rank", "a.json", "--policy", "warmpath"];
    let text = String::from_utf8_lossy(&loadgen(path, &args).stdout).into_owned();
    assert!(text.contains("in no cell"), "{text}");
}

#[test]
fn what_is_no_report_is_refused() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = folder.path();
    std::fs::write(path.join("x.json"), "{}").expect("a file can be written");
    report(path, "one.json", &[("warmpath", 1.0, 4.0, 9.0)]);
    report(path, "two.json", &[("warmpath", 1.0, 4.0, 9.0), ("mooncake", 0.5, 5.0, 9.0)]);
    refused(path, &["rank", "x.json"], "x.json: missing field `runs`");
    refused(path, &["rank", "one.json"], "one.json: no two policies");
    refused(path, &["rank", "gone.json"], "gone.json: No such file");
    refused(path, &["rank", "two.json", "--policy", "dynamo"], "--policy: no report has 'dynamo'");
    refused(path, &["rank", "two.json", "--within", "-1"], "expected a number from 0 to 100");
}

#[test]
fn a_report_without_two_policies_is_left_out_with_a_note() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = folder.path();
    report(path, "one.json", &[("warmpath", 1.0, 4.0, 9.0)]);
    report(path, "two.json", &[("warmpath", 1.0, 4.0, 9.0), ("mooncake", 0.5, 5.0, 9.0)]);
    let output = loadgen(path, &["rank", "one.json", "two.json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("mooncake") && text.contains("one.json is left out"), "{text}");
}
