//! One grid of points, cut off and shared between processes.

use crate::common::{loadgen, refused};
use serde_json::Value;
use std::path::Path;

const ASKED: [&str; 11] = [
    "sweep",
    "--axis",
    "workers=2,4",
    "--axis",
    "event-delay=0,500",
    "--workload",
    "assistant",
    "--policies",
    "round-robin,warmpath",
    "--seeds",
    "2",
];

/// What the command prints, with some more flags.
fn printed(folder: &Path, more: &[&str]) -> String {
    let output = loadgen(folder, &[&ASKED[..], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn lines(folder: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(name)).expect("a file");
    text.lines().map(str::to_owned).collect()
}

/// The report without what a run took.
fn report(folder: &Path, name: &str) -> Value {
    let mut report: Value =
        serde_json::from_str(&lines(folder, name).join("\n")).expect("a report is JSON");
    for run in report["runs"].as_array_mut().expect("runs") {
        run["wall_s"] = Value::Null;
    }
    report
}

/// Eight policies at points, each with two seeds.
#[test]
fn parts_and_a_cut_make_the_same_report_as_one_process() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let whole = printed(here, &["--json", "whole.json", "--html", "whole.html"]);
    assert!(whole.contains("warmpath, workers 4, event-delay 500 ms"), "{whole}");
    let first = printed(here, &["--cells", "parts", "--part", "1/3", "--html", "part.html"]);
    assert!(!here.join("part.html").exists(), "there is nothing to report yet");
    assert_eq!(
        first,
        "Played 5 runs; 5 of 16 are in the folder. Tables are printed once all are there.\n"
    );
    // The process was killed while it wrote.
    let mut cells = lines(here, "parts/cells-1-of-3.jsonl");
    assert_eq!(cells.len(), 5);
    cells.truncate(3);
    let cut = cells.join("\n") + "\n{\"key\":\"9f";
    std::fs::write(here.join("parts/cells-1-of-3.jsonl"), cut).expect("a file can be written");
    printed(here, &["--cells", "parts", "--part", "2/3"]);
    printed(here, &["--cells", "parts", "--part", "0/3"]);
    let rest = printed(here, &["--cells", "parts", "--json", "rest.json"]);
    assert_eq!(lines(here, "parts/cells.jsonl").len(), 2, "two were lost");
    let broken = "--cells: 1 lines are no cells";
    assert!(rest.contains(broken), "{rest}");
    let without: Vec<&str> = rest.lines().filter(|line| !line.starts_with(broken)).collect();
    assert_eq!(without, whole.lines().collect::<Vec<_>>());
    assert_eq!(report(here, "rest.json"), report(here, "whole.json"));
    // All are there, so none is played, and more seeds play only theirs.
    printed(here, &["--cells", "parts"]);
    assert_eq!(lines(here, "parts/cells.jsonl").len(), 2);
    let html = std::fs::read_to_string(here.join("whole.html")).expect("a file");
    for said in ["By workers", "By event-delay", "lowest mean TTFT at", "Hit rate, by workers"] {
        assert!(html.contains(said), "{said}");
    }
}

/// What a run depends on makes another cell of it.
#[test]
fn a_changed_scenario_is_played_again() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let trace = |tokens: u32| {
        let row = |i: u32| {
            format!(
                r#"{{"timestamp": {}, "input_length": {tokens}, "output_length": 4, "hash_ids": [{i}]}}"#,
                i * 100
            ) + "\n"
        };
        let rows: String = (0..40).map(row).collect();
        std::fs::write(here.join("t.jsonl"), rows).expect("a file can be written");
    };
    let count = |more: &[&str]| {
        let asked = ["sweep", "--trace", "t.jsonl", "--policies", "round-robin", "--cells", "c"];
        let output = loadgen(here, &[&asked[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        lines(here, "c/cells.jsonl").len()
    };
    trace(300);
    let step = |peak: &'static str| ["--axis", peak, "--workers", "2", "--step-phase", "1s"];
    assert_eq!(count(&step("step=1")), 1);
    assert_eq!(count(&step("step=1")), 1, "the same");
    assert_eq!(count(&step("step=2")), 2, "another course");
    assert_eq!(count(&["--axis", "load=1", "--workers", "2"]), 3, "none");
    assert_eq!(count(&["--axis", "memory=1", "--workers", "2"]), 3, "the same set-up");
    assert_eq!(count(&["--axis", "load=1", "--workers", "3"]), 4);
    trace(301);
    assert_eq!(count(&["--axis", "load=1", "--workers", "3"]), 5, "other requests in the file");
}

/// Every axis changes what it says, and the scenario that lacks it is refused.
#[test]
fn each_axis_has_its_effect() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let figures = |axis: &str, more: &[&str]| -> Vec<Value> {
        let asked = ["sweep", "--axis", axis, "--policies", "kv-aware", "--json", "r.json"];
        let output = loadgen(here, &[&asked[..], more].concat());
        assert!(output.status.success(), "{axis}: {}", String::from_utf8_lossy(&output.stderr));
        let runs = report(here, "r.json")["runs"].as_array().expect("runs").clone();
        runs.into_iter().map(|mut run| run["ttft_s"].take()).collect()
    };
    for axis in [
        "workers=4,16",
        "load=1,4",
        "step=1,4",
        "memory=0.3,1",
        "block-size=16,256",
        "routers=1,8",
        "event-delay=0,20000",
        "event-loss=0,90",
        "speed-error=0,300",
    ] {
        let figures = figures(axis, &[]);
        assert_eq!(figures.len(), 2, "{axis}");
        assert_ne!(figures[0], figures[1], "{axis}");
    }
    let tiers = ["--profile", "llama-70b-fp8-4xh100-tiers", "--hbm-tokens", "60000"];
    let figures = figures("tier-bandwidth=0.1,1", &tiers);
    assert_ne!(figures[0], figures[1], "tiers");
}

#[test]
fn bad_axes_are_one_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    for (args, why) in [
        (&["--axis", "works=1"][..], "axis 'works', expected one of: workers, load"),
        (&["--axis", "workers=0"], "workers '0', expected a whole number from 1 to 65535"),
        (&["--axis", "workers=1", "--axis", "workers=2"], "--axis: workers is given twice"),
        (&["--axis", "load=1", "--part", "0/2"], "--cells"),
        (&["--axis", "load=1", "--cells", "c", "--part", "2/2"], "'2/2', expected K/N"),
        (&["--axis", "tier-bandwidth=2"], "--axis tier-bandwidth: the profile has no tier"),
        (&["--axis", "network-bandwidth=2"], "--axis network-bandwidth: no worker has a link"),
        (
            &["--axis", "memory=2", "--hbm-tokens", "unlimited"],
            "--axis memory: the memory of the workers has no limit",
        ),
        (&["--axis", "load=1", "--capacity"], "--capacity: not for sweep"),
        (&["--axis", "step=2", "--rates", "1,2"], "--axis step: given with several --rates"),
        (
            &["--axis", "load=1", "--cells", "/dev/null/x"],
            "--cells: '/dev/null/x': Not a directory",
        ),
    ] {
        refused(folder.path(), &[&["sweep"], args].concat(), why);
    }
}
