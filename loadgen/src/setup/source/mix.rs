//! A mix of several workloads, each a class.

use super::{named, parse_workload};
use crate::files::{bad_field, bad_lines, bad_place, parse_toml};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
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
    name: Option<Spanned<String>>,
    /// A built-in name, or a file beside this one.
    workload: Spanned<String>,
    /// Factor for the arrival rate. Default: 1.
    rate: Option<Spanned<f64>>,
    /// Replaces the number of requests.
    requests: Option<Spanned<u64>>,
}

/// What is wrong with a class, and where in the file.
type Wrong = (Range<usize>, String);

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
        let mut errors = Vec::new();
        for class in &file.class {
            let at = |(span, why): Wrong| bad_place(origin, text, span, &why).to_string();
            let read = match class.read(folder) {
                Ok(read) => read,
                Err(wrong) => {
                    errors.push(at(wrong));
                    continue;
                }
            };
            if classes.iter().any(|other| other.name == read.name) {
                let why = format!(
                    "\"{}\" is used twice, expected a different name for each class",
                    read.name
                );
                let named = class.name.as_ref().unwrap_or(&class.workload);
                errors.push(at((named.span(), why)));
            }
            classes.push(read);
        }
        if !errors.is_empty() {
            return Err(bad_lines(errors.join("\n")));
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
    fn read(&self, folder: &Path) -> Result<Class, Wrong> {
        let workload = &self.workload;
        let other = |why: String| (workload.span(), why);
        // An error of the other file is one line here.
        let said = |error: anyhow::Error| other(error.to_string().replace('\n', "; "));
        let (origin, text, _) = named(workload.get_ref(), folder).map_err(said)?;
        if is_mix(&text) {
            let why = format!("{origin} is a mix itself, expected a workload without classes");
            return Err(other(why));
        }
        let mut spec = parse_workload(&origin, &text).map_err(said)?;
        if !spec.stages.is_empty() {
            return Err(other(format!("{origin} has stages, expected a workload with [arrivals]")));
        }
        let rate = self.rate.as_ref().map_or(1.0, |rate| *rate.get_ref());
        if !(rate > 0.0 && rate <= 1e6) {
            let span = self.rate.as_ref().map_or_else(|| workload.span(), Spanned::span);
            return Err((span, format!("{rate}, expected a number above 0")));
        }
        match &mut spec.sessions.arrivals {
            Arrivals::Poisson { sessions_per_s }
            | Arrivals::Gamma { sessions_per_s, .. }
            | Arrivals::Constant { sessions_per_s } => *sessions_per_s *= rate,
            Arrivals::Closed { .. } => {
                let why =
                    format!("{origin}: a closed loop, expected sessions that arrive at a rate");
                return Err(other(why));
            }
        }
        if let Some(requests) = &self.requests {
            spec.sessions.requests = *requests.get_ref();
            spec.check().map_err(|error| (requests.span(), error.why))?;
        }
        let name = self.name.as_ref().map(|name| name.get_ref().clone());
        let name = name.unwrap_or_else(|| spec.sessions.name.clone());
        Ok(Class { name, workload: spec })
    }
}
