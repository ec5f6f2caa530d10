//! `loadgen fidelity` and `loadgen fit` on small measurements. Tests on published measurements are in
//! `with_data.rs`.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const HEADER: &str =
    "gpu,model,tp,precision,kv_dtype,phase,batch,input_len,prefix_len,context,ms\n";
const DEVICE: &str = "name = \"mine\"
hbm_gb = 80.0
hbm_tb_s = 2.0
realization = 1.0

[peak_tflops]                # dense
bf16 = 400.0
";

fn loadgen(here: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.current_dir(here).args(args).output().expect("loadgen starts")
}

fn said(output: &Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    out + &err
}

/// Made-up steps of a device that computes at 60 % and reads at 80 % of its peaks, for a model of
/// 8 * 10^9 weights.
fn steps() -> String {
    let mut rows = HEADER.to_owned();
    for tokens in [1024, 2048, 4096, 8192] {
        let ms = 7.5e9 * 2.0 * f64::from(tokens) / (400e12 * 0.6) * 1e3 + 3.0;
        rows += &format!("mine,Llama-3.1-8B,1,bf16,bf16,prefill,1,{tokens},0,{tokens},{ms}\n");
    }
    for batch in [1, 8, 32, 64] {
        let ms = 15.0e9 / (2e12 * 0.8) * 1e3 + f64::from(batch) * 1024.0 * 131_072.0 / 1.6e9 + 1.0;
        rows += &format!("mine,Llama-3.1-8B,1,bf16,bf16,decode,{batch},1,0,1024,{ms}\n");
    }
    rows
}

#[test]
fn a_fitted_device_can_be_used_in_a_profile() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    std::fs::write(here.join("mine.toml"), DEVICE).expect("a file can be written");
    std::fs::write(here.join("steps.csv"), steps()).expect("a file can be written");
    let args = ["fit", "steps.csv", "--device", "mine.toml", "--output", "fitted.toml"];
    let output = loadgen(here, &args);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("bf16 prefill: 4 steps"), "{}", said(&output));
    let fitted = std::fs::read_to_string(here.join("fitted.toml")).expect("a device was written");
    assert!(fitted.starts_with(DEVICE.trim_end()), "its own text stays: {fitted}");
    let device: toml::Value = toml::from_str(&fitted).expect("a device is TOML");
    let number = |value: &toml::Value| value.as_float().expect("a number");
    let gemm = &device["precision"]["bf16"]["gemm"];
    assert!((0.5..0.7).contains(&number(&gemm["compute"])), "{gemm:?}");
    let error = &device["precision"]["bf16"]["fitted"]["p95_percent"];
    assert!(number(error) < 12.0, "{error:?}");

    let deployment = "name = \"own\"\ndevice = \"fitted.toml\"\nmodel = \"llama-3.1-8b\"\ntp = 1
precision = \"bf16\"\nkv_dtype = \"bf16\"\nmax_num_seqs = 64\nmax_num_batched_tokens = 4096
block_size = 16\n";
    std::fs::write(here.join("own.toml"), deployment).expect("a file can be written");
    let run = ["sim", "--profile", "own.toml", "--workers", "4", "--policies", "kv-aware"];
    let output = loadgen(here, &run);
    assert!(said(&output).contains("8 steps of llama-3.1-8b"), "{}", said(&output));
    // The same on hardware without measurements.
    std::fs::write(here.join("own.toml"), deployment.replace("fitted.toml", "mi300x"))
        .expect("a file can be written");
    let output = loadgen(here, &[&run[..], &["--json", "r.json"]].concat());
    assert!(said(&output).contains("unvalidated, step times may be 40 %"), "{}", said(&output));
    let report = std::fs::read(here.join("r.json")).expect("a report was written");
    let report: Value = serde_json::from_slice(&report).expect("a report is JSON");
    let standing = &report["runs"][0]["profile_standing"];
    assert_eq!((&standing["validated"], &standing["band_percent"]), (&false.into(), &40.0.into()));
}

#[test]
fn unreadable_measurements_are_refused_by_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let here = folder.path();
    let output = loadgen(here, &["fidelity", "--reference", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("nowhere: not a folder"), "{}", said(&output));
    let output = loadgen(here, &["fidelity", "--reference", "."]);
    assert!(
        said(&output).contains("no measurements, expected a file such as engine_steps.csv"),
        "{}",
        said(&output)
    );
    let bad = steps().replace("prefill,1,2048", "prefill,one,2048");
    std::fs::write(here.join("engine_steps.csv"), bad).expect("a file can be written");
    let output = loadgen(here, &["fidelity", "--reference", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("engine_steps.csv:3"), "{}", said(&output));
    assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
    // Unknown rows are counted in the report.
    std::fs::write(here.join("engine_steps.csv"), steps()).expect("a file can be written");
    let output = loadgen(here, &["fidelity", "--reference", "."]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("Not known here: device mine, 8 rows"), "{}", said(&output));
}
