//! `--html`: memories and links over time, tuned rules, and two reports of one study.

use crate::common::html::{plots, written};
use crate::common::{loadgen, number, refused, run};
use serde_json::Value;
use std::path::Path;

const TIERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shared-profile.toml");

/// The figures of a run do not depend on whether someone looks.
#[test]
fn memories_and_links_are_shown_where_there_is_more_than_hbm() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let tiers = ["sim", "--workload", "chat", "--workers", "3", "--profile", TIERS];
    let args = [&tiers[..], &["--policies", "kv-aware"]].concat();
    let html = written(here, &args);
    assert_eq!(html, written(here, &args), "the same run, the same bytes");
    let found = plots(&html);
    for title in ["How full each memory is: kv-aware", "How busy each link is: kv-aware"] {
        assert!(found.iter().any(|plot| plot == title), "{title} among {found:?}");
    }
    for line in ["loads from host", "to peers"] {
        assert!(html.contains(line), "{line}");
    }
    // No file of a page, no look.
    let figures = |mut report: Value| {
        report["runs"][0]["wall_s"] = Value::Null;
        report["runs"].clone()
    };
    let unseen = figures(run(&args).1);
    let seen = loadgen(here, &[&args[..], &["--html", "x.html", "--json", "x.json"]].concat());
    assert!(seen.status.success());
    let seen = std::fs::read(here.join("x.json")).expect("a report");
    assert_eq!(figures(serde_json::from_slice(&seen).expect("JSON")), unseen);

    let split = written(here, &["sim", "--scenario", "prefill-decode", "--policies", "kv-aware"]);
    assert!(split.contains("to decode workers"), "KV transfers");
    let plain = written(here, &["sim", "--workload", "chat", "--workers", "2"]);
    assert!(!plain.contains("How full each memory is"), "HBM only");
}

#[test]
fn a_search_for_parameters_shows_what_it_tried_and_what_it_did_on_other_requests() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let what = ["tune", "--workload", "chat", "--workers", "2", "--seeds", "2", "--json", "t.json"];
    let args = [&what[..], &["--policies", "dynamo(overlap=0)", "--budget", "12"]].concat();
    let html = written(here, &args);
    let found = plots(&html);
    for title in [
        "Tuned rules: requests of the search against held-out ones",
        "What was tried: dynamo(overlap=0)",
    ] {
        assert!(found.iter().any(|plot| plot == title), "{title} among {found:?}");
    }
    for said in ["dynamo(overlap=0) (as given)", "(best)", "dynamo(overlap=0), tuned"] {
        assert!(html.contains(said), "{said}");
    }
    let json = std::fs::read(here.join("t.json")).expect("a report");
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    let tuning = &json["tunings"][0];
    assert_ne!(tuning["tuned"], tuning["policy"]);
    // The same from the rows of the report: the mean of the ratios, seed by seed.
    let means = |label: &Value| -> Vec<f64> {
        let runs = json["runs"].as_array().expect("runs").iter();
        let of = |run: &&Value| {
            // A label that is the rule's name is not repeated.
            let own = run.get("label").unwrap_or(&run["policy"]);
            own == label
        };
        runs.filter(of).map(|run| number(&run["ttft_s"]["mean"])).collect()
    };
    let (given, tuned) = (means(&tuning["policy"]), means(&tuning["tuned"]));
    assert_eq!((given.len(), tuned.len()), (2, 2), "{json}");
    let ratio = (tuned[0] / given[0] + tuned[1] / given[1]) / 2.0;
    let told = number(&tuning["held_out_change_percent"]);
    assert!((told - (ratio - 1.0) * 100.0).abs() < 1e-9, "{told} against {ratio}");
    assert!(html.contains(&format!("{told:+.1}\u{a0}%")), "{told} is said first");
}

fn report(here: &Path, args: &[&str], name: &str) -> Value {
    let output = loadgen(here, &[args, &["--json", name]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = std::fs::read(here.join(name)).expect("a report");
    serde_json::from_slice(&json).expect("JSON")
}

#[test]
fn two_reports_of_a_study_are_compared_row_by_row() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let sharing = ["sharing", "--workload", "enterprise-kb", "--requests", "100", "--workers", "2"];
    let a = report(here, &sharing, "a.json");
    let more = [&sharing[..], &["--ttft", "1"]].concat();
    let b = report(here, &more, "b.json");
    let output = loadgen(here, &["diff", "a.json", "b.json"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && text.contains("within a tenant"), "{text}");
    assert!(text.contains("slo.ttft_s") && !text.contains("Not comparable"), "{text}");
    let html = written(here, &["diff", "a.json", "b.json"]);
    let found = plots(&html);
    assert!(found.iter().any(|plot| plot == "Mean time to first token"), "{found:?}");
    let rungs = a["rungs"].as_array().expect("rungs");
    let place = rungs.iter().position(|rung| rung["name"] == "within a tenant").expect("it");
    let change =
        (number(&b["rungs"][place]["hit_rate"]) - number(&rungs[place]["hit_rate"])) * 100.0;
    let row = text.lines().find(|line| line.starts_with("within a tenant")).expect("a row");
    assert!(row.contains(&format!("{change:+.1}")), "{change:+.1} in {row}");

    let advise = ["advise", "--workload", "commodity-qa", "--requests", "100", "--seeds", "1"];
    let c = report(here, &advise, "c.json");
    report(here, &[&advise[..], &["--monthly-requests", "100000"]].concat(), "d.json");
    let html = written(here, &["diff", "c.json", "d.json"]);
    let choice = c["decision"]["choice"].as_str().expect("a choice").replace('_', " ");
    assert!(html.contains(&format!("{choice}.")), "what is advised");
    let found = plots(&html);
    assert!(found.iter().any(|plot| plot == "Cost of a month"), "{found:?}");
    refused(here, &["diff", "a.json", "c.json"], "reports of sharing and of advise, expected two");
    std::fs::write(here.join("e.json"), "{\"schema\": \"warmpath.sharing.v1\"}").expect("a file");
    refused(here, &["diff", "a.json", "e.json"], "e.json: no rung in it; expected a report");
}
