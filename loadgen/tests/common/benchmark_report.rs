//! Benchmark reports read by this crate, and by llm-d's own reader where it is on the `PATH`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Reads each report by the models of llm-d's package, and by the JSON Schema that it prints. Then a report with a
/// wrong unit, one with a wrong field and one without results must be refused.
const CHECK: &str = r#"
import copy, sys
import jsonschema, yaml
from llmd_benchmark_report.core import import_benchmark_report, load_benchmark_report, make_json_schema
import json
schema = json.loads(make_json_schema("0.2"))
for path in sys.argv[1:]:
    report = import_benchmark_report(path)
    written = yaml.safe_load(open(path))
    jsonschema.validate(written, schema)
    kept = report.results.request_performance.aggregate
    ttft = kept.latency.time_to_first_token
    print(path, report.version, ttft.units, ttft.mean, kept.requests.total, len(report.scenario.stack))
    def change(path, value):
        broken = copy.deepcopy(written)
        at = broken
        for key in path[:-1]:
            at = at[key]
        if value is None:
            del at[path[-1]]
        else:
            at[path[-1]] = value
        return broken
    latency = ["results", "request_performance", "aggregate", "latency"]
    for broken in (
        change(latency + ["time_to_first_token", "units"], "tokens/s"),
        change(latency + ["ttft"], {"units": "s", "mean": 1}),
        change(["results"], None),
    ):
        try:
            load_benchmark_report(broken)
        except ValueError:
            continue
        sys.exit(path + ": a wrong report was accepted")
"#;

/// The Python of the environment that has llm-d's `benchmark-report`. `deploy/tools.sh` brings it.
pub fn reader() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let program = std::env::split_paths(&folders)
        .map(|folder| folder.join("benchmark-report"))
        .find(|path| path.is_file())?;
    // It stands beside the program itself, which may be a link.
    let python = std::fs::canonicalize(program).ok()?.with_file_name("python");
    python.exists().then_some(python)
}

/// What llm-d's reader says of each file, a line each. It must accept them all.
pub fn read_by_llm_d(files: &[PathBuf]) -> Vec<String> {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60"]).arg(reader().expect("a reader")).args(["-c", CHECK]);
    let output = command.args(files).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// A value in a report, by the keys on the way to it. Lists are not entered, except at the first item of `[0]`.
pub fn value(report: &str, keys: &[&str]) -> Option<String> {
    let mut lines: Vec<(usize, String)> = report
        .lines()
        // An item of a list begins a map that is as deep as what follows.
        .map(|line| line.replacen("- ", "  ", usize::from(line.trim_start().starts_with("- "))))
        .map(|line| (line.len() - line.trim_start().len(), line.trim_start().to_owned()))
        .collect();
    let mut depth = 0;
    for (place, key) in keys.iter().enumerate() {
        let at = lines.iter().position(|(own, line)| {
            *own == depth && line.split_once(':').is_some_and(|(name, _)| name == *key)
        })?;
        if place + 1 == keys.len() {
            let (_, value) = lines[at].1.split_once(':')?;
            return Some(value.trim().trim_matches('"').to_owned());
        }
        let inside = lines.iter().skip(at + 1).take_while(|(own, _)| *own > depth);
        lines = inside.cloned().collect();
        depth = lines.first()?.0;
    }
    None
}

/// The reports below a folder.
pub fn reports(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(reports(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}
