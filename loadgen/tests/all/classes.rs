//! Mixed workloads, and which classes stay on their users' devices.

use crate::common::{number, run};
use serde_json::Value;
use std::path::PathBuf;

const SCENARIO: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/scenarios/hybrid-by-class.toml");

#[test]
fn each_class_goes_where_the_scenario_says_and_the_classes_add_up() {
    let (table, report) = run(&["sim", "--scenario", SCENARIO]);
    let run = &report["runs"][0];
    let classes = run["classes"].as_array().expect("classes");
    let of = |class: &Value, key: &str| number(&class[key]);
    let names: Vec<&str> = classes.iter().filter_map(|class| class["name"].as_str()).collect();
    assert_eq!(names, ["commodity-qa", "code-completion", "enterprise-kb"]);
    for (class, on_devices) in classes.iter().zip([6000.0, 4500.0, 0.0]) {
        assert_eq!(of(class, "on_devices"), on_devices, "{class}");
        assert!(table.contains(class["name"].as_str().expect("a name")), "{table}");
    }
    let sum = |key: &str| classes.iter().map(|class| of(class, key)).sum::<f64>();
    assert_eq!(sum("requests"), of(run, "requests"));
    assert_eq!(sum("on_devices"), number(&run["devices"]["devices"]["requests"]));
    let ttft =
        classes.iter().map(|c| number(&c["ttft_s"]["mean"]) * of(c, "requests")).sum::<f64>();
    let mean = number(&run["ttft_s"]["mean"]);
    assert!((ttft / of(run, "requests") - mean).abs() < 1e-9, "{ttft} {mean}");
}

/// Devices answer two classes in time and the third not, so they are not chosen, however many requests
/// the other two have.
#[test]
fn an_option_must_keep_the_slo_of_each_class_and_a_split_may_be_by_class() {
    let args = ["advise", "--workload", "office", "--requests", "600", "--seeds", "1"];
    let (text, report) = run(&[&args[..], &["--monthly-requests", "200000000"]].concat());
    let classes = report["facts"]["devices"]["classes"].as_array().expect("classes");
    let within: Vec<f64> = classes.iter().map(|c| number(&c["within_slo"]["mean"])).collect();
    assert!(within[0] >= 0.9 && within[1] >= 0.9 && within[2] < 0.9, "{within:?}");
    let option = |choice: &str| {
        let options = report["decision"]["options"].as_array().expect("options");
        let found = options.iter().find(|option| option["choice"] == choice);
        found.unwrap_or_else(|| panic!("no {choice} in {options:?}")).clone()
    };
    assert_eq!(option("devices")["keeps_slo"], false);
    let split = option("split_by_class");
    assert_eq!(split["keeps_slo"], true);
    let share = number(&split["share_on_devices"]);
    assert!((0.7..0.8).contains(&share), "two classes of three: {share}");
    let stays = report["facts"]["splits"].as_array().expect("splits").iter();
    let stays: Vec<&Value> =
        stays.map(|split| &split["classes"]).filter(|c| c.is_array()).collect();
    assert_eq!(*stays[0], serde_json::json!(["commodity-qa", "code-completion"]));
    assert!(text.contains("of the requests of each class"), "{text}");
    let by =
        "\"split by class\": requests of class \"commodity-qa\", \"code-completion\" to devices";
    assert!(text.contains(by), "{text}");
}

#[test]
fn bad_classes_are_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    };
    let refused = |args: &[&str], part: &str| crate::common::refused(folder.path(), args, part);
    let scenario = std::fs::read_to_string(SCENARIO).expect("the scenario is there");
    let changed = |from: &str, to: &str| {
        assert!(scenario.contains(from), "{from}");
        write("scenario.toml", &scenario.replacen(from, to, 1));
    };
    let sim = ["sim", "--scenario", "scenario.toml"];
    changed("\"code-completion\"]", "\"chess\"]");
    refused(&sim, "'chess', expected one or more of: commodity-qa, code-completion, enterprise-kb");
    changed("workload = \"office\"", "workload = \"chat\"");
    refused(&sim, "devices.classes: the workload chat has no classes");
    changed("users = 1000", "tenants = [1]\nusers = 1000");
    refused(&sim, "devices.tenants: 1, expected numbers below 1");
    let mix = |class: &str| write("mix.toml", &format!("name = \"mix\"\n[[class]]\n{class}\n"));
    let sim = ["sim", "--workload", "mix.toml"];
    for (class, part) in [
        ("workload = \"office\"", "mix.toml:3: workload: workload office is a mix itself"),
        ("workload = \"chess\"", "mix.toml:3: workload: unknown workload"),
        ("workload = \"chat\"\nrate = 0.0", "mix.toml:4: rate: 0, expected a number above 0"),
        ("workload = \"chat\"\nrequests = 0", "mix.toml:4: requests: 0, expected 1 to 100000000"),
        (
            "workload = \"chat\"\n[[class]]\nworkload = \"chat\"",
            "mix.toml:5: workload: \"chat\" is used twice",
        ),
        ("workload = \"chat\"\nweight = 1", "mix.toml:4: "),
        ("workload = \"closed.toml\"", "mix.toml:3: workload: closed.toml: a closed loop"),
    ] {
        let chat = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/workloads/chat.toml");
        let chat = std::fs::read_to_string(chat).expect("a workload");
        let open = chat.find("[arrivals").expect("arrivals");
        write("closed.toml", &format!("{}[arrivals.closed]\nsessions = 3\n", &chat[..open]));
        mix(class);
        refused(&sim, part);
    }
}
