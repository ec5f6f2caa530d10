//! The file of `--parquet`, read back: its rows add up to the figures of the report.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

fn loadgen(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.current_dir(folder).args(args).output().expect("loadgen starts")
}

/// A request: the columns of its row by name.
type Row = parquet::record::Row;

struct Rows {
    rows: Vec<Row>,
    columns: BTreeMap<String, usize>,
    metadata: BTreeMap<String, String>,
    groups: usize,
}

fn read(path: &Path) -> Rows {
    let file = std::fs::File::open(path).expect("a file was written");
    let reader = SerializedFileReader::new(file).expect("it is Parquet");
    let about = reader.metadata().file_metadata();
    let names = about.schema_descr().columns().iter().map(|column| column.name().to_owned());
    let pairs = about.key_value_metadata().expect("metadata").iter();
    Rows {
        columns: names.zip(0..).collect(),
        metadata: pairs.map(|kv| (kv.key.clone(), kv.value.clone().unwrap_or_default())).collect(),
        groups: reader.num_row_groups(),
        rows: reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect(),
    }
}

impl Rows {
    fn whole(&self, row: &Row, column: &str) -> Option<i64> {
        row.get_long(self.columns[column]).ok()
    }

    fn number(&self, row: &Row, column: &str) -> Option<f64> {
        row.get_double(self.columns[column]).ok()
    }

    fn text<'a>(&self, row: &'a Row, column: &str) -> Option<&'a str> {
        row.get_string(self.columns[column]).ok().map(String::as_str)
    }
}

const SMALL: &str = include_str!("../../../deploy/workloads/assistant.toml");

/// A folder with a workload of 200 requests.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder for files");
    let small = SMALL.replace("requests = 4000", "requests = 200");
    assert_ne!(small, SMALL);
    std::fs::write(folder.path().join("w.toml"), small).expect("a file can be written");
    folder
}

#[test]
fn rows_add_up_to_the_report() {
    let folder = folder();
    let here = folder.path();
    let policies = ["--policies", "round-robin,kv-aware"];
    let args = ["sim", "--workload", "w.toml", "--seeds", "2", "--rates", "1,2"];
    let args = [&args[..], &policies].concat();
    let output =
        loadgen(here, &[&args[..], &["--parquet", "r.parquet", "--json", "r.json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read(here.join("r.json")).expect("a report was written");
    let report: Value = serde_json::from_slice(&report).expect("a report is JSON");
    let file = read(&here.join("r.parquet"));
    assert_eq!(file.metadata["warmpath.schema"], "warmpath.requests.v1");
    assert_eq!(file.metadata["warmpath.profile_validated"], "true");
    let config: Value = serde_json::from_str(&file.metadata["warmpath.config"]).expect("JSON");
    assert_eq!(config, report["config"], "the footer has the whole configuration");
    let runs = report["runs"].as_array().expect("runs");
    assert_eq!((runs.len(), file.groups), (8, 8));
    for run in runs {
        let of_run = |row: &&Row| {
            file.text(row, "policy") == run["policy"].as_str()
                && file.text(row, "mode") == Some("sim")
                && row.get_ulong(file.columns["seed"]).ok() == run["seed"].as_u64()
                && file.number(row, "rate_scale") == run["rate_scale"].as_f64()
        };
        let rows: Vec<&Row> = file.rows.iter().filter(of_run).collect();
        assert_eq!(rows.len() as u64, run["offered"].as_u64().expect("a count"));
        let sum = |column| -> i64 { rows.iter().filter_map(|row| file.whole(row, column)).sum() };
        let cached = run["prefill_tokens_cached"].as_i64().expect("a count");
        assert!(cached > 0);
        assert_eq!(sum("hit_tokens"), cached);
        assert_eq!(sum("hit_tokens_tier0"), cached, "this profile has no tier but HBM");
        let computed = run["prefill_tokens_computed"].as_i64().expect("a count");
        assert_eq!(sum("prompt_tokens"), cached + computed);
        let mean = |column| {
            let all: Vec<f64> = rows.iter().filter_map(|row| file.number(row, column)).collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        for (column, figure) in [("ttft_s", "ttft_s"), ("tpot_s", "tpot_s")] {
            let expected = run[figure]["mean"].as_f64().expect("a number");
            assert!((mean(column) / expected - 1.0).abs() < 1e-9, "{column}");
        }
        let times = ["intended_s", "sent_s", "first_token_s", "ended_s"];
        for row in rows {
            let times = times.map(|column| file.number(row, column).expect("all were answered"));
            assert!(times.is_sorted() && times[0] == times[1], "{times:?}");
            assert!(row.get_bool(file.columns["answered"]).expect("a flag"));
            assert!(file.text(row, "error").is_none());
            assert!(file.whole(row, "worker").is_some_and(|worker| (0..16).contains(&worker)));
            assert!(file.whole(row, "session").is_some());
            assert!(file.text(row, "request_id").is_some_and(|name| name.starts_with("lg-")));
        }
    }
}

#[test]
fn a_seed_gives_the_same_bytes() {
    let folder = folder();
    let bytes = |seed: &str, name: &str| {
        let args = ["sim", "--workload", "w.toml", "--seed", seed, "--parquet", name];
        assert!(loadgen(folder.path(), &args).status.success());
        std::fs::read(folder.path().join(name)).expect("a file was written")
    };
    assert_eq!(bytes("5", "a"), bytes("5", "b"));
    assert_ne!(bytes("5", "a"), bytes("6", "c"));
}

/// A request without an answer has a row too.
#[test]
fn a_failed_request_has_a_row_that_says_why() {
    let folder = folder();
    let args = ["sim", "--workload", "w.toml", "--hbm-tokens", "8000", "--parquet", "r.parquet"];
    let output = loadgen(folder.path(), &args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "many failed, so the run is not valid: {text}");
    let file = read(&folder.path().join("r.parquet"));
    let failed: Vec<&Row> =
        file.rows.iter().filter(|row| file.text(row, "error").is_some()).collect();
    assert!(!failed.is_empty());
    for row in failed {
        assert!(!row.get_bool(file.columns["answered"]).expect("a flag"));
        assert!(file.text(row, "error").is_some_and(|why| why.contains("too large")));
        assert!(file.number(row, "ttft_s").is_none() && file.number(row, "ended_s").is_some());
    }
}

#[test]
fn a_bad_path_is_refused_before_the_run() {
    let folder = folder();
    let here = folder.path();
    std::fs::create_dir(here.join("taken")).expect("a folder");
    let two = "round-robin,kv-aware";
    let too_many = ["sim", "--policies", two, "--seeds", "2000", "--parquet", "r.parquet"];
    let cases: [(&[&str], &[&str]); 3] = [
        (&["sim", "--parquet", "no/such/r.parquet"], &["no/such/r.parquet", "No such file"]),
        (&["sim", "--parquet", "taken"], &["taken", "folder"]),
        (&too_many, &["--parquet", "16000000 rows", "8000000", "seeds"]),
    ];
    for (args, parts) in cases {
        let output = loadgen(here, args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    // An existing file is replaced only by a complete one.
    std::fs::write(here.join("r.parquet"), "old").expect("a file can be written");
    assert!(
        !loadgen(here, &["sim", "--workload", "none", "--parquet", "r.parquet"]).status.success()
    );
    assert_eq!(std::fs::read(here.join("r.parquet")).expect("still there"), b"old");
    let args = ["sim", "--workload", "w.toml", "--policies", two, "--parquet", "r.parquet"];
    assert!(loadgen(here, &args).status.success());
    assert_eq!(read(&here.join("r.parquet")).rows.len(), 400);
}
