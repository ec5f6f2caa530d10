//! A scenario as it stands in its file.

use super::devices::DevicesFile;
use super::fleet::{Fleet, GroupFile};
use super::names::load_profile;
use super::policies::PolicyFile;
use super::variant::Variant;
use crate::args::What;
use crate::files::{bad, bad_field};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::handover::HandoverLink;
use warmpath_core::pool::PoolSpec;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::queue::QueueLimits;
use warmpath_core::sharing::Sharing;
use warmpath_core::time::Duration;
use warmpath_sim::{Fault, Network};

/// A scenario as it stands in its file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    pub name: String,
    pub workers: Option<u32>,
    pub profile: Option<String>,
    /// Instead of the two: workers that are alike, group by group.
    #[serde(default, rename = "group")]
    pub groups: Vec<GroupFile>,
    pub workload: String,
    /// Policies as they are spelled. Instead of it: [[policy]] tables.
    pub policies: Option<Vec<PolicyConfig>>,
    #[serde(default, rename = "policy")]
    pub policy_tables: Vec<PolicyFile>,
    pub seed: u64,
    pub live: Live,
    pub slo: Slo,
    pub network: Network,
    /// How much the router holds, where a policy holds requests.
    #[serde(default)]
    pub queue: Queue,
    /// What the workers share, where their profile has a way to it.
    pub pool: Option<PoolSpec>,
    /// What goes wrong with it.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
    /// The way of KV from groups that prefill to groups that decode.
    pub handover: Option<HandoverLink>,
    /// Devices of the users, beside the workers or in their place.
    pub devices: Option<DevicesFile>,
    /// Who shares KV cache with whom.
    #[serde(default)]
    pub sharing: Sharing,
    /// The profile with parts left out, to be compared.
    #[serde(default, rename = "variant")]
    pub variants: Vec<Variant>,
}

/// The live leg.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    pub speedup: f64,
    /// Requests of the workload. None: what a trace brings in eight wall seconds.
    pub requests: Option<u64>,
}

/// `[queue]` of a scenario file. What is not given is the router's default.
#[derive(Clone, Copy, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub requests: Option<u32>,
    pub prompt_tokens: Option<u64>,
    pub longest_wait_s: Option<f64>,
}

impl Queue {
    /// An error names the field and what was expected.
    pub fn resolve(&self) -> Result<QueueLimits, (&'static str, String)> {
        let own = QueueLimits::default();
        let longest_wait = match self.longest_wait_s {
            None => own.longest_wait,
            Some(seconds) if (1e-3..=86_400.0).contains(&seconds) => {
                Duration::from_secs_f64(seconds)
            }
            Some(seconds) => {
                let why = format!("{seconds}, expected seconds from 0.001 to 86400");
                return Err(("longest_wait_s", why));
            }
        };
        Ok(QueueLimits {
            requests: self.requests.unwrap_or(own.requests),
            prompt_tokens: self.prompt_tokens.unwrap_or(own.prompt_tokens),
            longest_wait,
        })
    }
}

impl ScenarioFile {
    /// Who serves. Profiles that the file names as files lie in `folder`, those of flags here.
    pub fn fleet(&self, what: &What, origin: &str, text: &str, folder: &Path) -> Result<Fleet> {
        if !self.groups.is_empty() {
            return self.mixed(what, origin, text, folder);
        }
        let missing = |field: &str| {
            let why = "missing, expected it or one [[group]] after another";
            bad(format!("{origin}: {field}: {why}"))
        };
        let profile = match (&what.profile, &self.profile) {
            (Some(name), _) => load_profile(name, Path::new(""))?,
            (None, Some(name)) => load_profile(name, folder)?,
            (None, None) => return Err(missing("profile")),
        };
        let workers = what.workers.or(self.workers).ok_or_else(|| missing("workers"))?;
        if !(1..=65_535).contains(&workers) {
            let why = format!("{workers}, expected 1 to 65535");
            return Err(match what.workers {
                Some(_) => bad(format!("--workers: {why}")),
                None => bad_field(origin, text, "workers", &why),
            });
        }
        Ok(Fleet::alike(workers, profile))
    }

    fn mixed(&self, what: &What, origin: &str, text: &str, folder: &Path) -> Result<Fleet> {
        let flags = [("--workers", what.workers.is_some()), ("--profile", what.profile.is_some())];
        if let Some((flag, _)) = flags.iter().find(|(_, given)| *given) {
            let why = "has groups, each with workers and a profile of its own";
            return Err(bad(format!("{flag}: the scenario {origin} {why}")));
        }
        let fields = [("workers", self.workers.is_some()), ("profile", self.profile.is_some())];
        if let Some((field, _)) = fields.iter().find(|(_, given)| *given) {
            let why = "stands beside [[group]], expected it in each group alone";
            return Err(bad_field(origin, text, field, why));
        }
        if !self.variants.is_empty() {
            let why = "stands beside [[group]], expected a scenario of one profile";
            return Err(bad_field(origin, text, "variant", why));
        }
        Fleet::mixed(&self.groups, folder)
    }
}
