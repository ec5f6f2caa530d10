//! A report, as far as two of them are compared.

use super::study::Study;
use crate::files::{self, bad};
use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Settings by their paths in the configuration: "slo.ttft_s".
pub type Settings = BTreeMap<String, String>;

/// A report of any kind.
#[derive(Debug)]
pub enum Read {
    Runs(Side),
    Study(StudySide),
}

impl Read {
    /// The command that writes such reports.
    pub const fn command(&self) -> &'static str {
        match self {
            Self::Runs(_) => "sim, compare or run",
            Self::Study(side) => side.study.kind.command,
        }
    }
}

/// A report of a study.
#[derive(Debug)]
pub struct StudySide {
    /// The file's name.
    pub name: String,
    pub study: Study,
    pub settings: Settings,
}

/// A report of `sim`, `compare` or `run`.
#[derive(Debug)]
pub struct Side {
    /// The file's name.
    pub name: String,
    pub runs: Vec<Run>,
    pub settings: Settings,
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

pub fn read(path: &Path) -> Result<Read> {
    let text = files::read(path)?;
    let expected = "expected a report that `loadgen sim --json FILE`, `compare`, `run`, `sharing` or \
                    `advise` wrote";
    let wrong = |why: String| bad(format!("{}: {why}; {expected}", path.display()));
    let name = path.display().to_string();
    let data: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let mut settings = BTreeMap::new();
    if let Some(study) = data["schema"].as_str().and_then(|schema| Study::of(schema, &data)) {
        flatten("", &data["config"], &mut settings);
        flatten("inputs", &data["inputs"], &mut settings);
        if study.rows.is_empty() {
            return Err(wrong(format!("no {} in it", study.kind.of)));
        }
        return Ok(Read::Study(StudySide { name, study, settings }));
    }
    let report: Report = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if let Some(schema) = report.schema.filter(|schema| schema != crate::report::SCHEMA) {
        return Err(wrong(format!("its schema is {schema}")));
    }
    flatten("", &report.config, &mut settings);
    Ok(Read::Runs(Side { name, runs: report.runs, settings }))
}

/// Every leaf of a configuration by its path.
fn flatten(path: &str, value: &Value, into: &mut Settings) {
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
