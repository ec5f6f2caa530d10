//! The scenario file.

use super::devices::DevicesFile;
use super::fleet::{Fleet, GroupFile};
use super::names::load_profile;
use super::policies::PolicyFile;
use super::queue::QueueSetup;
use super::variant::Variant;
use crate::args::What;
use crate::files::{bad, bad_field};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::pool::PoolSpec;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::SharingRule;
use warmpath_sim::{Fault, Network};

/// A scenario, as its file gives it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    pub name: String,
    pub workers: Option<u32>,
    pub profile: Option<String>,
    /// Workers of several profiles, instead of `workers` and `profile`.
    #[serde(default, rename = "group")]
    pub groups: Vec<GroupFile>,
    pub workload: String,
    /// Policies as strings. Or [[policy]] tables.
    pub policies: Option<Vec<PolicyConfig>>,
    #[serde(default, rename = "policy")]
    pub policy_tables: Vec<PolicyFile>,
    pub seed: u64,
    pub live: Live,
    pub slo: Slo,
    pub network: Network,
    /// Limits for requests that the policy holds.
    pub queue: Option<QueueSetup>,
    /// The pool. Workers use it if their profile has a link to it.
    pub pool: Option<PoolSpec>,
    /// Faults of the pool.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
    /// The KV transfer from prefill workers to decode workers.
    #[serde(alias = "handover")]
    pub kv_transfer: Option<KvTransferLink>,
    /// Users' own devices, beside the workers or instead of them.
    pub devices: Option<DevicesFile>,
    /// Who shares KV cache.
    #[serde(default)]
    pub sharing: SharingRule,
    /// Variants of the profile, which are compared.
    #[serde(default, rename = "variant")]
    pub variants: Vec<Variant>,
}

/// How the live run of `compare` is played.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    pub speedup: f64,
    /// Number of requests. None: the whole workload; of a trace, what it sends in eight wall seconds.
    pub requests: Option<u64>,
}

impl ScenarioFile {
    /// The workers. Profile files named in the scenario lie in `folder`, those of flags in the
    /// current folder.
    pub fn fleet(&self, what: &What, origin: &str, text: &str, folder: &Path) -> Result<Fleet> {
        if !self.groups.is_empty() {
            return self.mixed(what, origin, text, folder);
        }
        let missing = |field: &str| {
            let why = "missing, expected a value or [[group]] tables";
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
            let why = "has groups, expected workers and profile in each group";
            return Err(bad(format!("{flag}: the scenario {origin} {why}")));
        }
        let fields = [("workers", self.workers.is_some()), ("profile", self.profile.is_some())];
        if let Some((field, _)) = fields.iter().find(|(_, given)| *given) {
            let why = "given with [[group]], expected only in each group";
            return Err(bad_field(origin, text, field, why));
        }
        if !self.variants.is_empty() {
            let why = "given with [[group]], expected a scenario with one profile";
            return Err(bad_field(origin, text, "variant", why));
        }
        Fleet::mixed(&self.groups, folder)
    }
}
