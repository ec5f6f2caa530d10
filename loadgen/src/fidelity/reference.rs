//! Measurements as they come in a folder of CSV files, and what they call devices and models.

use crate::files::bad;
use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use warmpath_core::engine::physics::{Device, KvDtype, Model, Precision};
use warmpath_launch::profiles;

/// A whole engine step.
#[derive(Clone, Debug, Deserialize)]
pub struct StepRow {
    pub gpu: String,
    pub model: String,
    pub tp: u32,
    pub precision: String,
    pub kv_dtype: String,
    pub phase: String,
    pub batch: u32,
    pub input_len: u32,
    pub prefix_len: u32,
    pub context: u32,
    pub ms: f64,
    #[serde(default)]
    pub backend: String,
    #[serde(default)]
    pub provenance: String,
    /// Of a whole step: how often it was measured, and between which times.
    pub repeats: Option<u32>,
    pub low_ms: Option<f64>,
    pub high_ms: Option<f64>,
    /// Devices that it ran on. None: one, which had its part of the model and sent nothing to others.
    pub devices: Option<u32>,
}

impl StepRow {
    /// Whether it was measured on a running engine: host, launching and kernels together.
    pub fn is_whole(&self) -> bool {
        self.provenance == "measured"
    }

    /// Whether the row is of vLLM. The constants are for vLLM. A row without an engine counts as
    /// vLLM: users who measure their own device leave it out.
    pub fn is_of_this_engine(&self) -> bool {
        self.backend.is_empty() || self.backend == "vllm"
    }
}

/// A single kernel.
#[derive(Clone, Debug, Deserialize)]
pub struct KernelRow {
    pub gpu: String,
    pub op: String,
    pub heads: Option<u32>,
    pub kv_heads: Option<u32>,
    pub head_dim: Option<u32>,
    pub dtype: String,
    pub kv_dtype: String,
    pub batch: Option<u32>,
    pub tokens: Option<u32>,
    pub context: Option<u32>,
    pub ms: f64,
    pub shape: String,
    #[serde(default)]
    pub provenance: String,
}

/// A served system at a concurrency.
#[derive(Clone, Debug, Deserialize)]
pub struct ServedRow {
    pub gpu: String,
    pub model: String,
    pub engine: String,
    pub tp: Option<f64>,
    pub ep: Option<f64>,
    pub attn_dp: Option<f64>,
    pub precision: String,
    pub isl_max: Option<f64>,
    pub osl_max: Option<f64>,
    pub concurrency: Option<f64>,
    pub ttft_ms: Option<f64>,
    pub tpot_ms: Option<f64>,
    pub family: String,
    #[serde(default)]
    pub provenance: String,
}

/// A step of a served run.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ServedStep {
    pub scheduled_tokens: u32,
    pub sequences: u32,
    pub gpu_ms: f64,
    /// When it ended, by the device's clock.
    pub gpu_end_ms: f64,
}

/// A request of a served run, in seconds from the run's start.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ServedRequest {
    pub due_s: f64,
    pub first_token_s: f64,
    pub end_s: f64,
    pub prompt_tokens: u32,
    pub cached_tokens: u32,
    pub output_tokens: u32,
}

/// A prefix that lay in host memory.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct OffloadRow {
    pub prefix_tokens: u32,
    pub new_tokens: u32,
    pub recompute_ms: f64,
    pub from_host_ms: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct AnchorRow {
    pub gpu: String,
    pub model: String,
    pub tp: u32,
    pub precision: String,
    pub kind: String,
    pub value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TransferRow {
    pub path: String,
    pub hardware: String,
    pub model: String,
    pub tokens: Option<f64>,
    pub kv_gb: Option<f64>,
    pub transfer_ms: Option<f64>,
    #[serde(rename = "GBps")]
    pub gb_s: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct OnDeviceRow {
    pub model: String,
    pub device: String,
    pub prompt_tokens: Option<u32>,
    pub prefill_tok_s: Option<f64>,
    pub decode_tok_s: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct BreakEvenRow {
    pub gpu: String,
    pub model: String,
    pub precision: String,
    pub tp: u32,
    pub tokens: u32,
    pub recompute_ms: f64,
}

/// A published rate of one routing policy, or the mean of its rates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoutingRow {
    pub bench: String,
    /// The rate, or "all".
    pub qps: String,
    pub policy: String,
    pub output_tok_s: f64,
    pub ttft_p90_s: f64,
}

/// What a folder holds; a file that is not there is empty.
#[derive(Debug, Default)]
pub struct Reference {
    pub steps: Vec<StepRow>,
    /// Steps measured whole, on a running engine.
    pub whole: Vec<StepRow>,
    pub kernels: Vec<KernelRow>,
    pub served: Vec<ServedRow>,
    pub anchors: Vec<AnchorRow>,
    pub transfers: Vec<TransferRow>,
    pub on_device: Vec<OnDeviceRow>,
    pub break_even: Vec<BreakEvenRow>,
    pub routing: Vec<RoutingRow>,
    /// Files that were read.
    pub files: Vec<String>,
}

impl Reference {
    pub fn read(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(bad(format!(
                "{}: not a folder, expected a folder of CSV files",
                folder.display()
            )));
        }
        let mut this = Self::default();
        let files = &mut this.files;
        this.steps = rows(folder, "engine_steps.csv", files)?;
        this.whole = rows(folder, "steps.csv", files)?;
        this.kernels = rows(folder, "kernels.csv", files)?;
        this.served = rows(folder, "served_latency.csv", files)?;
        this.anchors = rows(folder, "decode_anchors.csv", files)?;
        this.transfers = rows(folder, "kv_transfer.csv", files)?;
        this.on_device = rows(folder, "on_device.csv", files)?;
        this.break_even = rows(folder, "breakeven.csv", files)?;
        this.routing = rows(folder, "routing_capacity.csv", files)?;
        if files.is_empty() {
            let expected =
                "expected a file such as steps.csv, engine_steps.csv or served_latency.csv";
            return Err(bad(format!("{}: no measurements, {expected}", folder.display())));
        }
        Ok(this)
    }

    /// Adds a file of whole steps. All its rows count as measured whole.
    pub fn read_whole(&mut self, file: &Path) -> Result<()> {
        self.whole.extend(read_csv(file)?);
        self.files.push(file.display().to_string());
        Ok(())
    }
}

fn rows<T: DeserializeOwned>(folder: &Path, name: &str, files: &mut Vec<String>) -> Result<Vec<T>> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(Vec::new());
    }
    files.push(name.to_owned());
    read_csv(&path)
}

/// All rows of one file; an error names the file and the line.
pub fn read_csv<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    parse_csv(path, &crate::files::read(path)?)
}

/// The rows of a text that stands, or once stood, at `path`.
pub fn parse_csv<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>> {
    let fail = |error: ::csv::Error| {
        let line = error.position().map_or(String::new(), |at| format!(":{}", at.line()));
        let why = match error.kind() {
            ::csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
            _ => error.to_string(),
        };
        bad(format!("{}{line}: {why}", path.display()))
    };
    let mut reader =
        ::csv::ReaderBuilder::new().trim(::csv::Trim::All).from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.map_err(fail)).collect()
}

/// Devices and models by what measurements call them.
#[derive(Debug, Default)]
pub struct Known {
    pub devices: BTreeMap<String, Device>,
    pub models: BTreeMap<String, Model>,
    /// Names that mean nothing here, with how many rows have them.
    pub unknown: BTreeMap<String, u32>,
}

impl Known {
    /// The canonical name of the device, if it is known. An unknown one is counted.
    pub fn device(&mut self, name: &str) -> Option<String> {
        if !self.devices.contains_key(name) {
            match profiles::device(name, Path::new("")) {
                Ok(device) => self.devices.insert(name.to_owned(), device),
                Err(_) => {
                    *self.unknown.entry(format!("device {name}")).or_default() += 1;
                    return None;
                }
            };
        }
        Some(name.to_owned())
    }

    pub fn model(&mut self, name: &str) -> Option<String> {
        if !self.models.contains_key(name) {
            match profiles::model(name, Path::new("")) {
                Ok(model) => self.models.insert(name.to_owned(), model),
                Err(_) => {
                    *self.unknown.entry(format!("model {name}")).or_default() += 1;
                    return None;
                }
            };
        }
        Some(name.to_owned())
    }
}

/// A precision as step times name it.
pub fn precision(name: &str) -> Option<Precision> {
    Precision::ALL.into_iter().find(|precision| precision.name() == name)
}

/// Keys and values in anything of eight bits are FP8.
pub fn kv_dtype(name: &str) -> Option<KvDtype> {
    match name {
        "bf16" | "bfloat16" | "fp16" | "float16" | "auto" => Some(KvDtype::Bf16),
        "fp8" | "fp8_e4m3" | "int8" => Some(KvDtype::Fp8),
        _ => None,
    }
}
