//! Does the house rule lose to a rule that knows nothing?

use super::{loadgen, number};
use serde_json::Value;

/// How much worse than the best naive rule a figure may be.
const TIED: f64 = 1.02;

/// Plays the house rule and the naive ones. Its mean and p99 TTFT and its mean end-to-end latency must
/// not be behind the best of them.
pub fn loses_to_none(args: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder for files");
    let flags = ["sim", "--policies", "naive,warmpath", "--json", "out.json"];
    let output = loadgen(folder.path(), &[&flags, args].concat());
    // Status 1: many prompts fit no worker. The rules then play the others, all the same ones.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    let report = std::fs::read(folder.path().join("out.json")).expect("a report was written");
    let report: Value = serde_json::from_slice(&report).expect("a report is JSON");
    let runs = report["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 6, "five naive rules and the house rule");
    let (ours, naive): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run["policy"] == "warmpath");
    for (figure, of) in [("ttft_s", "mean"), ("ttft_s", "p99"), ("e2e_s", "mean")] {
        let value = |run: &&Value| number(&run[figure][of]);
        let best = naive.iter().map(value).fold(f64::INFINITY, f64::min);
        let ours = value(&ours[0]);
        assert!(ours <= TIED * best, "{args:?}: {figure} {of} {ours}, the best naive rule {best}");
    }
}
