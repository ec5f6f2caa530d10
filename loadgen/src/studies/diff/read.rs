//! A report of `sim`, `compare` or `run`, as far as two of them are compared.

use crate::files::{self, bad};
use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A report.
#[derive(Debug)]
pub struct Side {
    /// The file's name.
    pub name: String,
    pub runs: Vec<Run>,
    /// Settings by their paths in the configuration: "slo.ttft_s".
    pub settings: BTreeMap<String, String>,
}

#[derive(Deserialize, Debug)]
struct Report {
    schema: Option<String>,
    #[serde(default)]
    config: Value,
    runs: Vec<Run>,
}

/// A run, with the figures that are compared.
#[derive(Deserialize, Debug)]
pub struct Run {
    pub policy: Option<String>,
    pub label: Option<String>,
    pub variant: Option<String>,
    pub mode: String,
    pub rate_scale: f64,
    pub seed: u64,
    pub workload: String,
    pub profile: Option<String>,
    pub valid: bool,
    pub offered: u64,
    pub errors: u64,
    pub hit_rate: Option<f64>,
    pub ttft_s: Option<Times>,
    pub tpot_s: Option<Times>,
    pub e2e_s: Option<Times>,
    pub goodput_requests_per_s: Option<f64>,
    pub within_slo: Option<f64>,
}

#[derive(Deserialize, Clone, Copy, Debug)]
pub struct Times {
    pub mean: Option<f64>,
    pub p99: Option<f64>,
}

impl Run {
    /// The name of its row.
    pub fn name(&self) -> String {
        let policy = self.label.as_ref().or(self.policy.as_ref());
        let policy = policy.map_or("(the target's)", String::as_str);
        match &self.variant {
            Some(variant) => format!("{policy}, {variant}"),
            None => policy.to_owned(),
        }
    }
}

pub fn read(path: &Path) -> Result<Side> {
    let text = files::read(path)?;
    let expected = "expected a report that `loadgen sim --json FILE`, `compare` or `run` wrote";
    let wrong = |why: String| bad(format!("{}: {why}; {expected}", path.display()));
    let report: Report = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if let Some(schema) = report.schema.filter(|schema| schema != crate::report::SCHEMA) {
        return Err(wrong(format!("its schema is {schema}")));
    }
    let mut settings = BTreeMap::new();
    flatten("", &report.config, &mut settings);
    let name = path.display().to_string();
    Ok(Side { name, runs: report.runs, settings })
}

/// Every leaf of a configuration by its path.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| flatten(&below(key), value, into));
        }
        Value::Array(values) => {
            let places = values.iter().enumerate();
            places.for_each(|(place, value)| flatten(&below(&place.to_string()), value, into));
        }
        Value::Null => {}
        Value::String(text) => {
            into.insert(path.to_owned(), text.clone());
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}
