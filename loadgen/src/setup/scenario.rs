//! The scenario file.

use super::devices::DevicesFile;
use super::fleet::{Fleet, GroupFile};
use super::names::{load_profile, load_profile_of};
use super::policies::PolicyFile;
use super::queue::QueueSetup;
use super::variant::Variant;
use crate::args::What;
use crate::args::values::{MOST_TPOT_S, MOST_TTFT_S, SPEEDUPS, check_slo_seconds};
use crate::files::{all_of, bad, bad_field};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::pool::PoolSpec;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::SharingRule;
use warmpath_launch::toml_file::Refused;
use warmpath_router::admission::AdmissionConfig;
use warmpath_router::config::ReliabilityConfig;
use warmpath_sim::{Fault, Network, Routing};

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
    #[serde(default)]
    pub live: Live,
    #[serde(default)]
    pub slo: Slo,
    #[serde(default)]
    pub network: Network,
    /// The routers before the fleet, in simulations.
    #[serde(default)]
    pub routers: Routing,
    /// Limits for requests that the policy holds.
    pub queue: Option<QueueSetup>,
    /// What the router does about failing workers. None: all of it where workers fail, else nothing.
    pub reliability: Option<ReliabilityConfig>,
    /// What the router takes on. None: everything that a worker has room for.
    pub admission: Option<AdmissionConfig>,
    /// The pool. Workers use it if their profile has a link to it.
    pub pool: Option<PoolSpec>,
    /// Faults of the pool and of workers.
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
    #[serde(default = "ten_times")]
    pub speedup: f64,
    /// Number of requests. None: the whole workload; of a trace, what it sends in eight wall seconds.
    pub requests: Option<u64>,
}

const fn ten_times() -> f64 {
    10.0
}

/// Without a `[live]` table, a live run is as short as that of the built-in scenario.
impl Default for Live {
    fn default() -> Self {
        Self { speedup: ten_times(), requests: Some(100) }
    }
}

/// The most requests of a live run: as many as a workload has.
const MOST_LIVE: u64 = 100_000_000;
/// One hour.
const MOST_REPORT_MS: u64 = 3_600_000;
/// The router's worker numbers have 16 bits.
const WORKERS: std::ops::RangeInclusive<u32> = 1..=65_535;

impl ScenarioFile {
    /// The file, if all values are in their ranges that do not depend on other files. The errors are
    /// all fields that are not.
    pub fn checked(self) -> Result<Self, Vec<Refused>> {
        let mut refused = Vec::new();
        let mut err = |field: &str, why: String| refused.push((field.to_owned(), why));
        if let Some(workers) = self.workers.filter(|workers| !WORKERS.contains(workers)) {
            err("workers", format!("{workers}, expected 1 to 65535"));
        }
        let (least, most) = SPEEDUPS;
        let Live { speedup, requests } = self.live;
        if !(least..=most).contains(&speedup) {
            err("live.speedup", format!("{speedup}, expected a number from {least} to {most}"));
        }
        if let Some(requests) = requests.filter(|n| !(1..=MOST_LIVE).contains(n)) {
            err("live.requests", format!("{requests}, expected 1 to {MOST_LIVE}"));
        }
        let Network { hop_us, event_delay_ms, report_every_ms } = self.network;
        if !(0.0..=1e9).contains(&hop_us) {
            err("network.hop_us", format!("{hop_us}, expected 0 or more"));
        }
        if !(0.0..=Network::MOST_EVENT_DELAY_MS).contains(&event_delay_ms) {
            let why = format!("{event_delay_ms}, expected 0 to {}", Network::MOST_EVENT_DELAY_MS);
            err("network.event_delay_ms", why);
        }
        if !(1..=MOST_REPORT_MS).contains(&report_every_ms) {
            let why = format!("{report_every_ms}, expected 1 to {MOST_REPORT_MS}");
            err("network.report_every_ms", why);
        }
        if !(1..=Routing::MOST).contains(&self.routers.count) {
            let why = format!("{}, expected 1 to {}", self.routers.count, Routing::MOST);
            err("routers.count", why);
        }
        let error = self.routers.speed_error;
        if !(0.0..=Routing::MOST_SPEED_ERROR).contains(&error) {
            let why = format!("{error}, expected 0 to {}", Routing::MOST_SPEED_ERROR);
            err("routers.speed_error", why);
        }
        let Slo { ttft_s, tpot_s } = self.slo;
        for (field, seconds, most) in
            [("slo.ttft_s", ttft_s, MOST_TTFT_S), ("slo.tpot_s", tpot_s, MOST_TPOT_S)]
        {
            if let Err(why) = check_slo_seconds(seconds, most) {
                err(field, format!("{seconds}, {why}"));
            }
        }
        if let Some(Err(error)) = self.reliability.as_ref().map(ReliabilityConfig::check) {
            err(&error.field, error.why);
        }
        for (field, why) in self.queue.iter().flat_map(QueueSetup::problems) {
            err(field, why);
        }
        if let Err((field, why)) = self.sharing.check() {
            err(&format!("sharing.{field}"), why);
        }
        if let Some(Err(error)) = self.kv_transfer.as_ref().map(KvTransferLink::check) {
            err(error.field, error.why);
        }
        for (i, group) in self.groups.iter().enumerate() {
            if !WORKERS.contains(&group.workers) {
                let why = format!("{}, expected 1 to 65535", group.workers);
                err(&format!("group[{i}].workers"), why);
            }
        }
        if refused.is_empty() { Ok(self) } else { Err(refused) }
    }

    /// The workers. Profile files named in the scenario lie in `folder`, those of flags in the
    /// current folder.
    pub fn fleet(&self, what: &What, origin: &str, text: &str, folder: &Path) -> Result<Fleet> {
        if !self.groups.is_empty() {
            return self.mixed(what, origin, text, folder);
        }
        let missing = |field: &str, expected: &str| {
            let why = format!("missing, expected {expected} or [[group]] tables");
            format!("{origin}:1: {field}: {why}")
        };
        // An error of a flag is said alone.
        if let Some(workers) = what.workers.filter(|workers| !WORKERS.contains(workers)) {
            return Err(bad(format!("--workers: {workers}, expected 1 to 65535")));
        }
        let here = (origin, text);
        let profile = match (&what.profile, &self.profile) {
            (Some(name), _) => load_profile(name, Path::new("")),
            (None, Some(name)) => load_profile_of(name, folder, "profile", here),
            (None, None) => Err(bad(missing("profile", "a profile's name or file"))),
        };
        let workers = match what.workers.or(self.workers) {
            Some(workers) => Ok(workers),
            None => Err(bad(missing("workers", "a number of workers"))),
        };
        let (workers, profile, ()) = all_of(workers, profile, Ok(()))?;
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
        Fleet::mixed(&self.groups, folder, (origin, text))
    }
}
