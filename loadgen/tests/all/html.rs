//! `--html`: one file that says first what was answered, for every command that prints tables.

use crate::common::html::{parsed, plots, text, written};
use crate::common::{loadgen, refused};
use roxmltree::{Document, Node};

/// A default run is below this.
const MOST_BYTES: usize = 2_000_000;

const SMALL: [&str; 4] = ["--workload", "chat", "--workers", "4"];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for files")
}

fn with_class(document: &Document<'_>, class: &str) -> Vec<String> {
    let is_of = |node: &Node<'_, '_>| node.attribute("class") == Some(class);
    document.descendants().filter(is_of).map(|node| text(&node)).collect()
}

#[test]
fn a_default_run_answers_first_and_is_small() {
    let folder = folder();
    let html = written(folder.path(), &["sim"]);
    assert!(html.len() < MOST_BYTES, "{} bytes", html.len());
    let document = parsed(&html);
    let headline = &with_class(&document, "headline")[0];
    assert!(headline.contains("lowest mean TTFT"), "{headline}");
    assert!(html.find("class=\"headline\"") < html.find("<figure"), "first the answer");
    assert!(html.find("<figure") < html.find("id=\"tables\""), "then plots");
    assert!(html.find("id=\"tables\"") < html.find("id=\"made\""), "then tables");
    for part in ["How sure", "Distance from the limit", "no policy can go below", "Stable below"] {
        assert!(html.contains(part), "{part}");
    }
    let plots = plots(&html);
    for title in [
        "Time to first token, by share of requests",
        "Time per further token, by share of requests",
        "Where prompt tokens were found, or lost",
        "Requests that wait for their first token",
        "Hit rate over time",
        "Load of each worker: warmpath",
        "Slowest requests: round-robin",
    ] {
        assert!(plots.iter().any(|plot| plot == title), "{title} among {plots:?}");
    }
    assert!(html.contains("loadgen sim --html out.html"), "the command");
    for phase in ["waits for an engine", "prefill", "further tokens"] {
        assert!(html.contains(&format!(", {phase}: ")), "{phase} of a slow request");
    }
}

#[test]
fn the_same_command_writes_the_same_bytes_and_changes_no_other_output() {
    let (one, other) = (folder(), folder());
    let args = [&["sim", "--rates", "1,2", "--seeds", "2"][..], &SMALL].concat();
    assert_eq!(written(one.path(), &args), written(other.path(), &args));
    let json = |extra: &[&str]| {
        let here = self::folder();
        let all = [&args[..], &["--csv", "out.csv"], extra].concat();
        let output = loadgen(here.path(), &all);
        let csv = std::fs::read(here.path().join("out.csv")).expect("a file");
        (output.stdout, csv)
    };
    assert_eq!(json(&[]), json(&["--html", "x.html"]));
}

#[test]
fn load_is_plotted_with_the_capacity_and_the_bounds() {
    let folder = folder();
    let args = [&["sim", "--rates", "1,4", "--policies", "round-robin,warmpath"][..], &SMALL];
    let html = written(folder.path(), &[&args.concat()[..], &["--capacity", "--cost"]].concat());
    let plots = plots(&html);
    for title in [
        "Goodput against load",
        "Mean time to first token against load",
        "Hit rate against load, with its bounds",
        "Capacity: the highest load within the SLO",
        "Cost of a million tokens served",
    ] {
        assert!(plots.iter().any(|plot| plot == title), "{title} among {plots:?}");
    }
    for part in ["capacity of ", "no policy can be below", "best cache of this memory"] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn a_label_of_a_user_is_text() {
    let folder = folder();
    let here = folder.path();
    let label = "<script>alert(1)</script>&\\\"'";
    let text = format!(
        "name = \"x\"\nworkers = 2\nprofile = \"llama-8b-bf16-h100\"\nworkload = \"chat\"\nseed = 1\n\
         [[policy]]\nname = \"round-robin\"\nlabel = \"{label}\"\n[[policy]]\nname = \"warmpath\"\n"
    );
    std::fs::write(here.join("s.toml"), text).expect("a file can be written");
    let html = written(here, &["sim", "--scenario", "s.toml"]);
    let document = parsed(&html);
    let scripts = document.descendants().filter(|node| node.has_tag_name("script"));
    assert_eq!(scripts.count(), 1, "the page's own");
    let rows = document.descendants().filter(|node| node.has_tag_name("th"));
    let names: Vec<String> = rows.map(|node| self::text(&node)).collect();
    assert!(names.iter().any(|name| name == "<script>alert(1)</script>&\"'"), "{names:?}");
}

#[test]
fn commands_with_tables_write_a_file_and_others_say_that_they_have_none() {
    let folder = folder();
    let here = folder.path();
    let trace = "{\"timestamp\": 0, \"input_length\": 1024, \"output_length\": 4, \"hash_ids\": [1, 2]}\n\
                 {\"timestamp\": 9000, \"input_length\": 1536, \"output_length\": 4, \"hash_ids\": [1, 2, 3]}\n";
    std::fs::write(here.join("t.jsonl"), trace).expect("a file can be written");
    let commands: [&[&str]; 5] = [
        &["list", "policies"],
        &["policies"],
        &["columns"],
        &["trace", "formats"],
        &["trace", "check", "t.jsonl"],
    ];
    for args in commands {
        let html = written(here, args);
        assert!(html.contains("<table") && html.contains("What the columns mean"), "{args:?}");
    }
    let html = written(here, &["trace", "check", "t.jsonl", "--json"]);
    assert!(plots(&html).iter().any(|title| title == "Hit rate against memory"));
    refused(here, &["init", "workload", "-", "--html", "x.html"], "--html: this command prints no");
    refused(
        here,
        &["trace", "convert", "t.jsonl", "--to", "dynamo", "--out", "d", "--html", "x.html"],
        "--html: this command prints no",
    );
    refused(here, &["list", "--format", "json", "--html", "x.html"], "--html: no table");
    let same = ["sim", "--json", "x", "--html", "x"];
    refused(here, &same, "--json: x is used by another flag");
    refused(here, &["sim", "--html", "no/x.html"], "no/x.html");
    assert!(!here.join("x.html").exists(), "nothing is left behind");
}

#[test]
fn two_reports_are_compared_row_by_row() {
    let folder = folder();
    let here = folder.path();
    let json = |name: &str, more: &[&str]| {
        let args =
            ["sim", "--workload", "chat", "--policies", "round-robin,warmpath", "--json", name];
        let output = loadgen(here, &[&args[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    json("a.json", &["--workers", "4", "--seeds", "2"]);
    json("b.json", &["--workers", "8", "--seeds", "2"]);
    json("c.json", &["--workers", "4", "--seed", "7"]);
    let diff = |one: &str, other: &str| {
        let output = loadgen(here, &["diff", one, other]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let same = diff("a.json", "a.json");
    assert!(
        same.contains("All settings are the same.") && !same.contains("Not comparable"),
        "{same}"
    );
    assert!(same.contains("+0.0") && !same.contains("+0.0 ?"), "no difference is sure: {same}");
    let other = diff("a.json", "b.json");
    assert!(other.contains("workers") && !other.contains("Not comparable"), "{other}");
    assert!(other.contains('±'), "seed by seed: {other}");
    let seeds = diff("a.json", "c.json");
    assert!(seeds.contains("! Not comparable: the seed is 1, 2 in the first and 7 in"), "{seeds}");
    let html = written(here, &["diff", "a.json", "c.json"]);
    assert!(html.contains("class=\"warning\">Not comparable"), "a warning at the top");
    std::fs::write(here.join("d.json"), "{\"schema\": \"other\", \"runs\": []}").expect("a file");
    refused(here, &["diff", "a.json", "d.json"], "its schema is other");
}
