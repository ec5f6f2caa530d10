//! Policies with parameters and labels, and limits for the requests that a policy holds.

use crate::common::{loadgen, number, refused};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

const SCENARIO: &str = include_str!("../../../deploy/scenarios/default.toml");
/// The line of the built-in scenario that names its policies.
const OWN: &str = "policies = [\"round-robin\", \"session-affinity\", \"dynamo\", \"llm-d-weighted\", \
                   \"warmpath\"]\n";
/// Few requests, so that a run takes no time.
const SMALL: &str = r#"
name = "small"
requests = 60
system_prompts = 2
system_tokens = 256
turns = { mean = 3.0, cv = 0.5 }
user_tokens = { mean = 200.0, cv = 0.5 }
output_tokens = { mean = 40.0, cv = 0.5 }
think_s = { mean = 1.0, cv = 0.5 }
max_context_tokens = 8192

[arrivals.poisson]
sessions_per_s = 4.0
"#;

/// The built-in scenario on the small workload, with `policies` in place of its own.
fn scenario(folder: &Path, policies: &str, more: &str) {
    assert!(SCENARIO.contains(OWN), "the built-in scenario has changed");
    let text = SCENARIO.replacen(OWN, policies, 1);
    let text = text.replacen("workload = \"assistant\"", "workload = \"./small.toml\"", 1);
    std::fs::write(folder.join("small.toml"), SMALL).expect("a file can be written");
    std::fs::write(folder.join("s.toml"), text + more).expect("a file can be written");
}

/// Two tables of one rule, the second with a label.
const TABLES: &str = "
[[policy]]
name = \"session-affinity\"

[[policy]]
name = \"session-affinity\"
label = \"loose, or so\"
[policy.parameters]
bound = 3.5
";

fn ended_well(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn report(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("out.json")).expect("a report");
    serde_json::from_str(&text).expect("a report is JSON")
}

#[test]
fn one_rule_stands_twice_with_other_parameters_in_every_output() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    scenario(here, "", TABLES);
    let args = "sim --scenario s.toml --json out.json --csv out.csv --parquet out.parquet";
    let args: Vec<&str> = args.split(' ').chain(["--record", "logs"]).collect();
    let output = loadgen(here, &args);
    ended_well(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\nsession-affinity "), "{text}");
    assert!(text.contains("\nloose, or so "), "{text}");
    assert!(text.contains("loose, or so against session-affinity, sim: "), "{text}");

    let report = report(here);
    let [plain, loose] = report["runs"].as_array().expect("runs").as_slice() else {
        panic!("two runs, not {}", report["runs"])
    };
    assert_eq!(plain["policy"], "session-affinity");
    assert_eq!((plain.get("label"), plain.get("parameters")), (None, None));
    assert_eq!(loose["policy"], "session-affinity");
    assert_eq!(loose["label"], "loose, or so");
    assert_eq!(loose["parameters"], serde_json::json!({ "bound": "3.5" }));
    // A looser bound keeps more sessions on the worker that has their blocks.
    assert!(number(&loose["hit_rate"]) > number(&plain["hit_rate"]), "{report}");
    let policies = &report["config"]["policies"];
    assert_eq!(policies[0], "session-affinity");
    let spelled = serde_json::json!({
        "label": "loose, or so", "policy": "session-affinity(bound=3.5)",
    });
    assert_eq!(policies[1], spelled);

    let csv = std::fs::read_to_string(here.join("out.csv")).expect("a table");
    let first: Vec<&str> = csv.lines().map(|line| line.split(",,").next().unwrap()).collect();
    assert_eq!(first, [csv.lines().next().unwrap(), "session-affinity", "\"loose, or so\""]);

    let file = std::fs::File::open(here.join("out.parquet")).expect("rows");
    let rows = SerializedFileReader::new(file).expect("a Parquet file");
    let rows = rows.get_row_iter(None).expect("rows").map(|row| row.expect("a row"));
    let mut labels: Vec<String> =
        rows.map(|row| row.get_string(0).expect("a label").clone()).collect();
    labels.dedup();
    assert_eq!(labels, ["session-affinity", "loose, or so"]);

    for log in ["logs/session-affinity.jsonl", "logs/loose, or so.jsonl"] {
        ended_well(&loadgen(here, &["replay", log]));
    }
}

#[test]
fn the_flag_splits_at_commas_outside_parentheses() {
    let list = "random,session-affinity(bound=1.5),wait-for-room(max_active=4,recheck_s=0.5)";
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    scenario(here, OWN, "");
    let args = ["sim", "--scenario", "s.toml", "--json", "out.json", "--policies", list];
    let output = loadgen(here, &args);
    ended_well(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    let report = report(here);
    let label = |i: usize| {
        let run = &report["runs"][i];
        run.get("label").unwrap_or(&run["policy"]).as_str().expect("a name").to_owned()
    };
    assert_eq!(label(0), "random");
    assert_eq!(label(1), "session-affinity(bound=1.5)");
    assert_eq!(label(2), "wait-for-room(max_active=4,recheck_s=0.5)");
    assert!(text.contains("\nsession-affinity(bound=1.5) "), "{text}");
    assert_eq!(report["runs"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_baseline_is_named_by_its_label() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    scenario(here, "", TABLES);
    let args = ["sim", "--scenario", "s.toml", "--seeds", "2", "--json", "out.json"];
    let output = loadgen(here, &[&args[..], &["--baseline", "loose, or so"]].concat());
    ended_well(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("differences to loose, or so"), "{text}");
    let report = report(here);
    assert_eq!(report["config"]["baseline"], "loose, or so");
    let [plain, loose] = report["comparisons"].as_array().expect("comparisons").as_slice() else {
        panic!("two comparisons, not {}", report["comparisons"])
    };
    assert_eq!(
        (&plain["policy"], &plain["baseline"]),
        (&"session-affinity".into(), &"loose, or so".into())
    );
    assert_eq!(loose["label"], "loose, or so");
    assert!(plain["hit_points"].is_object() && loose["hit_points"].is_null());
    let known = "--baseline: 'x', expected one of: session-affinity, loose, or so";
    refused(here, &[&args[..], &["--baseline", "x"]].concat(), known);
}

#[test]
fn a_policy_that_cannot_be_is_refused_by_line_and_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let names = "expected one of: round-robin, random, least-loaded";
    let flags = [
        ("magic", names),
        ("kv-aware(x=1)", "--policies: policy kv-aware has no parameter 'x', it has no parameters"),
        ("session-affinity(x=1)", "no parameter 'x', expected one of: bound"),
        ("session-affinity(bound=x)", "bound is 'x', expected a number from"),
        ("session-affinity(bound=1.5,bound=2)", "bound is given twice"),
        ("session-affinity(bound", "expected NAME or NAME(key=value,key=value)"),
        ("random,random", "--policies: policy label 'random' is used twice"),
    ];
    for (list, part) in flags {
        refused(here, &["sim", "--policies", list], part);
    }
    let in_file = |policies: &str, more: &str, bad: &str, part: &str| {
        scenario(here, policies, more);
        let text = std::fs::read_to_string(here.join("s.toml")).expect("it was written");
        let line = text.lines().position(|line| line.contains(bad)).expect("the bad line") + 1;
        refused(here, &["sim", "--scenario", "s.toml"], &format!("s.toml:{line}: {part}"));
    };
    let list = "policies = [\"session-affinity(bound=0)\"]\n";
    in_file(list, "", list.trim_end(), "policies[0]: policy session-affinity: bound is '0'");
    let list = "policies = [\"random\", \"random\"]\n";
    in_file(list, "", list.trim_end(), "policies: policy label 'random' is used twice");
    in_file("policies = []\n", "", "policies = []", "policies: none, expected at least one");
    in_file(OWN, TABLES, OWN.trim_end(), "policies: given with [[policy]]");
    in_file(
        "",
        &TABLES.replace("3.5", "0.5"),
        "bound = 0.5",
        "bound: policy session-affinity: bound is '0.5'",
    );
    in_file(
        "",
        &TABLES.replace("bound", "bond"),
        "bond = 3.5",
        "bond: policy session-affinity has no",
    );
    let twice = TABLES.replace("label = \"loose, or so\"", "label = \"session-affinity\"");
    in_file("", &twice, "label = ", "label: policy label 'session-affinity' is used twice");
    let empty = TABLES.replace("loose, or so", " ");
    in_file("", &empty, "label = ", "label: empty, expected a name");
    let unknown = "\n[[policy]]\nname = \"magic\"\n";
    in_file("", unknown, "magic", &format!("name: unknown policy 'magic', {names}"));
    let inline = "\n[[policy]]\nname = \"random\"\nparameters = { x = 1 }\n";
    in_file("", inline, "x = 1", "parameters: policy random has no parameter 'x'");
    let unheard = "\n[[policy]]\nname = \"random\"\nweight = 1\n";
    in_file("", unheard, "weight", "policy[0].weight: unknown field `weight`");
    scenario(here, "", "");
    let missing =
        "s.toml:1: policies: missing, expected policies = [...] or at least one [[policy]]";
    refused(here, &["sim", "--scenario", "s.toml"], missing);
}

/// One worker with room for one request at a time, and 60 requests.
const HOLDING: &str = "policies = [\"wait-for-room(max_active=1)\"]\n";

#[test]
fn the_queue_of_a_scenario_bounds_what_the_router_holds() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let play = |queue: &str| {
        scenario(here, HOLDING, queue);
        let args =
            "sim --scenario s.toml --workers 1 --rate-scale 20 --json out.json --record logs";
        let output = loadgen(here, &args.split(' ').collect::<Vec<_>>());
        // With a full queue many requests fail, and the run is not valid.
        assert_eq!(output.status.code(), Some(i32::from(!queue.is_empty())));
        let log = std::fs::read_dir(here.join("logs")).expect("logs").next().expect("a log");
        let log = log.expect("a log").path();
        let header = std::fs::read_to_string(&log).expect("a log");
        let header: Value =
            serde_json::from_str(header.lines().next().expect("a header")).expect("JSON");
        ended_well(&loadgen(here, &["replay", &log.display().to_string()]));
        let report = report(here);
        (report["runs"][0]["errors_by_reason"].clone(), header, report["config"]["queue"].clone())
    };
    let (errors, _, queue) = play("");
    assert_eq!(errors, serde_json::json!({}), "everything waits by default");
    assert_eq!(queue, Value::Null);
    let (errors, header, queue) = play("\n[queue]\nrequests = 2\n");
    assert!(errors["queue full"].as_u64().is_some_and(|many| many > 5), "{errors}");
    assert_eq!(header["queue"]["requests"], 2);
    let expected =
        serde_json::json!({ "requests": 2, "prompt_tokens": 16_777_216, "longest_wait_s": 60.0 });
    assert_eq!(queue, expected);
    let (errors, ..) = play("\n[queue]\nprompt_tokens = 600\n");
    assert!(errors["queue full"].as_u64().is_some_and(|many| many > 5), "{errors}");
    let (errors, ..) = play("\n[queue]\nlongest_wait_s = 0.1\n");
    assert!(errors["waited too long"].as_u64().is_some_and(|many| many > 5), "{errors}");
}

#[test]
fn limits_that_cannot_be_are_refused_by_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let cases = [
        ("requests = 1000001", "queue.requests: 1000001, expected 0 to 1000000"),
        ("longest_wait_s = 0", "queue.longest_wait_s: 0, expected seconds from 0.001 to 86400"),
        ("longest_wait_s = nan", "queue.longest_wait_s: NaN, expected"),
        ("prompt_tokens = -1", "queue.prompt_tokens: -1, expected a whole number"),
        ("longest_wait = 1", "unknown field `longest_wait`"),
    ];
    for (line, part) in cases {
        scenario(here, OWN, &format!("\n[queue]\n{line}\n"));
        refused(here, &["sim", "--scenario", "s.toml"], part);
        refused(here, &["sim", "--scenario", "s.toml"], "s.toml:");
    }
}
