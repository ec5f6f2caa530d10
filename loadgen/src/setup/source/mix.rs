//! A mix of several workloads, each a class.

use super::{named, parse_workload};
use crate::files::{bad_field, parse_toml};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::sharing::Tenants;
use warmpath_core::tokens::Segment;
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_core::workload::mixed::seed_of;
use warmpath_core::workload::spec::WorkloadSpec;

/// A workload file with `[[class]]` tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MixFile {
    name: String,
    #[serde(default = "one")]
    tenants: u32,
    class: Vec<ClassFile>,
}

const fn one() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassFile {
    /// Default: the workload's name.
    name: Option<String>,
    /// A built-in name, or a file beside this one.
    workload: String,
    /// Factor for the arrival rate. Default: 1.
    rate: Option<f64>,
    /// Replaces the number of requests.
    requests: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Mix {
    pub name: String,
    /// All classes share these tenants.
    pub tenants: u32,
    classes: Vec<Class>,
}

#[derive(Clone, Debug, Serialize)]
struct Class {
    name: String,
    workload: WorkloadSpec,
}

/// Whether a workload file is a mix. A text that is not TOML is rejected elsewhere.
pub fn is_mix(text: &str) -> bool {
    toml::from_str::<toml::Table>(text).is_ok_and(|table| table.contains_key("class"))
}

impl Mix {
    /// `folder` is where the files lie that it names.
    pub fn parse(origin: &str, text: &str, folder: &Path) -> Result<Self> {
        let file: MixFile = parse_toml(origin, text)?;
        let err = |field: &str, why: &str| bad_field(origin, text, field, why);
        if file.name.is_empty() {
            return Err(err("name", "empty, expected a name"));
        }
        if file.class.is_empty() {
            return Err(err("class", "none, expected at least one [[class]]"));
        }
        if !(1..=Tenants::MOST).contains(&file.tenants) {
            let why = format!("{}, expected 1 to {}", file.tenants, Tenants::MOST);
            return Err(err("tenants", &why));
        }
        let mut classes: Vec<Class> = Vec::new();
        for class in &file.class {
            let class = class.read(folder).map_err(|why| err("class", &why.to_string()))?;
            if classes.iter().any(|other| other.name == class.name) {
                let why = format!(
                    "\"{}\" is used twice, expected a different name for each class",
                    class.name
                );
                return Err(err("class.name", &why));
            }
            classes.push(class);
        }
        Ok(Self { name: file.name, tenants: file.tenants, classes })
    }

    pub fn names(&self) -> Vec<&str> {
        self.classes.iter().map(|class| class.name.as_str()).collect()
    }

    pub fn specs(&self) -> Vec<WorkloadSpec> {
        self.classes.iter().map(|class| class.workload.clone()).collect()
    }

    /// Keeps the same share of each class.
    pub fn limit(&mut self, requests: u64) {
        let all: u64 = self.classes.iter().map(|class| class.workload.sessions.requests).sum();
        for class in self.classes.iter_mut().filter(|_| requests < all) {
            let own = &mut class.workload.sessions.requests;
            *own = (*own * requests / all).max(1);
        }
    }

    /// The largest number of any class.
    pub fn operators_tokens(&self) -> u32 {
        let tokens = self.classes.iter().map(|class| class.workload.sessions.system_tokens);
        tokens.max().unwrap_or(0)
    }

    pub fn operators_texts(&self) -> u64 {
        self.classes.iter().map(|class| class.workload.sessions.system_prompts).sum()
    }

    /// Texts are numbered class by class.
    pub fn operators_text(&self, seed: u64, number: u64) -> Segment {
        let mut number = number;
        for (i, class) in (0..).zip(&self.classes) {
            let sessions = &class.workload.sessions;
            if number < sessions.system_prompts {
                return sessions.system_prompt(seed_of(seed, i), number);
            }
            number -= sessions.system_prompts;
        }
        unreachable!("the number is below the number of texts")
    }
}

impl ClassFile {
    fn read(&self, folder: &Path) -> Result<Class> {
        let (origin, text, _) = named(&self.workload, folder)?;
        if is_mix(&text) {
            anyhow::bail!("{origin} is a mix itself, expected a workload without classes");
        }
        let mut workload = parse_workload(&origin, &text)?;
        let rate = self.rate.unwrap_or(1.0);
        if !(rate > 0.0 && rate <= 1e6) {
            anyhow::bail!("rate {rate}, expected a number above 0");
        }
        if !workload.stages.is_empty() {
            anyhow::bail!("{origin} has stages, expected a workload with [arrivals]");
        }
        match &mut workload.sessions.arrivals {
            Arrivals::Poisson { sessions_per_s }
            | Arrivals::Gamma { sessions_per_s, .. }
            | Arrivals::Constant { sessions_per_s } => *sessions_per_s *= rate,
            Arrivals::Closed { .. } => {
                anyhow::bail!("{origin}: a closed loop, expected sessions that arrive at a rate");
            }
        }
        workload.sessions.requests = self.requests.unwrap_or(workload.sessions.requests);
        if workload.sessions.requests == 0 {
            anyhow::bail!("requests 0, expected at least 1");
        }
        let name = self.name.clone().unwrap_or_else(|| workload.sessions.name.clone());
        Ok(Class { name, workload })
    }
}
