//! From scenario file and flags to everything a run needs. What is resolved here is printed whole in
//! the JSON report, so that a result carries all that made it.

use crate::cli::{SPEEDUPS, What, parse_policies};
use crate::devices::{DevicesFile, DevicesSetup};
use crate::economics::Sheet;
use crate::files::{bad, bad_field, parse_toml, read};
use crate::groups::{Fleet, GroupFile};
use crate::source::Source;
use crate::variant::Variant;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::handover::HandoverLink;
use warmpath_core::engine::profile::Profile;
use warmpath_core::pool::PoolSpec;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::Sharing;
use warmpath_sim::{Fault, Network, Scenario, check_faults};
use warmpath_worker_sim::profiles;

const DEFAULT_SCENARIO: &str = include_str!("../../deploy/scenarios/default.toml");
const TRACE_SCENARIO: &str = include_str!("../../deploy/scenarios/trace.toml");

/// An hour.
const MOST_REPORT_MS: u64 = 3_600_000;

/// A scenario as it stands in its file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    name: String,
    workers: Option<u32>,
    profile: Option<String>,
    /// Instead of the two: workers that are alike, group by group.
    #[serde(default, rename = "group")]
    groups: Vec<GroupFile>,
    workload: String,
    policies: Vec<PolicyConfig>,
    seed: u64,
    live: Live,
    slo: Slo,
    network: Network,
    /// What the workers share, where their profile has a way to it.
    pool: Option<PoolSpec>,
    /// What goes wrong with it.
    #[serde(default, rename = "fault")]
    faults: Vec<Fault>,
    /// The way of KV from groups that prefill to groups that decode.
    handover: Option<HandoverLink>,
    /// Devices of the users, beside the workers or in their place.
    devices: Option<DevicesFile>,
    /// Who shares KV cache with whom.
    #[serde(default)]
    sharing: Sharing,
    /// The profile with parts left out, to be compared.
    #[serde(default, rename = "variant")]
    variants: Vec<Variant>,
}

/// The live leg.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    pub speedup: f64,
    /// Requests of the workload. None: what a trace brings in eight wall seconds.
    pub requests: Option<u64>,
}

/// Everything resolved.
#[derive(Clone, Debug, Serialize)]
pub struct Setup {
    pub scenario: String,
    #[serde(flatten)]
    pub fleet: Fleet,
    pub policies: Vec<PolicyConfig>,
    pub source: Source,
    /// Each times the workload's own arrival rate. The live leg runs the first.
    pub rates: Vec<f64>,
    pub tick_jitter: bool,
    pub seed: u64,
    /// How many, from `seed` on. The live leg runs the first.
    pub seeds: u64,
    /// What the other policies are compared with, where there are several seeds or rates.
    pub baseline: PolicyConfig,
    /// Whether each policy's capacity at the SLO is searched for.
    pub capacity: bool,
    pub live: Live,
    pub slo: Slo,
    pub network: Network,
    /// What the workers share, where their profile has a way to it.
    pub pool: Option<PoolSpec>,
    /// What goes wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The way of KV from groups that prefill to groups that decode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<HandoverLink>,
    /// Devices of the users, beside the workers or in their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<DevicesSetup>,
    /// What energy and money are reckoned with. None: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Sheet>,
    /// Who shares KV cache with whom.
    pub sharing: Sharing,
    pub variants: Vec<Variant>,
    /// Of the requests, those that come first and are played without being counted.
    #[serde(skip)]
    pub warm_up: f64,
    /// Whether a run is broken off as soon as too few of its requests can be within the SLO.
    #[serde(skip)]
    pub give_up: bool,
    /// Which of them is played.
    #[serde(skip)]
    pub variant: Option<String>,
    /// Whether a row a request is kept for a file.
    #[serde(skip)]
    pub rows: bool,
}

impl Setup {
    pub fn resolve(what: &What) -> Result<Self> {
        match what.trace {
            Some(_) => Self::resolve_on(what, "built-in trace scenario", TRACE_SCENARIO),
            None => Self::resolve_on(what, "built-in scenario", DEFAULT_SCENARIO),
        }
    }

    /// On a scenario that comes with the program, unless another is named.
    pub fn resolve_on(what: &What, name: &str, built_in: &str) -> Result<Self> {
        let (origin, text, folder) = match &what.scenario {
            Some(path) => (path.display().to_string(), read(path)?, path.parent()),
            None => (name.to_owned(), built_in.to_owned(), None),
        };
        let file: ScenarioFile = parse_toml(&origin, &text)?;
        let here = Path::new("");
        let mut fleet = file.fleet(what, &origin, &text, folder.unwrap_or(here))?;
        let mut source = match (&what.trace, &what.workload) {
            (Some(path), _) => Source::trace(path)?,
            (None, Some(name)) => Source::workload(name, here)?,
            (None, None) => Source::workload(&file.workload, folder.unwrap_or(here))?,
        };
        if let Some(tenants) = what.tenants {
            source.set_tenants(tenants);
        }
        file.sharing
            .check()
            .map_err(|(field, why)| bad_field(&origin, &text, &format!("sharing.{field}"), &why))?;
        let sharing = what.sharing.unwrap_or(file.sharing);
        if sharing.public_prefixes && source.operators_tokens() == 0 {
            let why = "no text of this workload is the operator's, expected system_tokens above 0";
            return Err(match what.sharing {
                Some(sharing) => bad(format!("--sharing: {sharing}, but {why}")),
                None => bad_field(&origin, &text, "sharing.public_prefixes", why),
            });
        }
        if let Some(size) = what.block_size.or(source.own_block_size()) {
            fleet.profiles_mut().into_iter().for_each(|profile| profile.set_block_size(size));
        }
        // After the block size, which the room for KV follows from.
        if let Some(tokens) = what.hbm_tokens {
            fleet.profiles_mut().into_iter().for_each(|profile| profile.hbm_tokens = tokens.0);
        }
        for profile in fleet.profiles() {
            profile.check().map_err(|error| bad(format!("profile {}: {error}", profile.name)))?;
        }
        if let Some(link) = &file.handover {
            link.check().map_err(|error| bad_field(&origin, &text, error.field, &error.why))?;
        }
        fleet.check(file.pool.is_some(), file.handover.as_ref(), &origin, &text)?;
        source.check_block_size(fleet.profile().block_size)?;
        let policies = match what.policies.as_slice() {
            [] => file.policies,
            names => parse_policies(names).map_err(bad)?,
        };
        if policies.is_empty() {
            return Err(bad_field(&origin, &text, "policies", "none, expected at least one"));
        }
        if let Some(twice) = twice(&policies) {
            let why = format!("{twice} is named twice");
            return Err(bad_field(&origin, &text, "policies", &why));
        }
        if let Some(pool) = &file.pool {
            pool.check(fleet.profile().block_size).map_err(|error| {
                bad_field(&origin, &text, &format!("pool.{}", error.field), &error.why)
            })?;
        }
        check_faults(&file.faults, file.pool.is_some())
            .map_err(|error| bad(format!("{origin}: {error}")))?;
        for (i, variant) in file.variants.iter().enumerate() {
            let named_before = |other: &Variant| other.name == variant.name;
            if file.variants[..i].iter().any(named_before) {
                let why = format!("variant \"{}\" stands there twice", variant.name);
                return Err(bad(format!("{origin}: {why}")));
            }
            variant
                .of(fleet.profile(), file.pool.is_some())
                .map_err(|why| bad(format!("{origin}: {why}")))?;
        }
        let devices = file.devices.as_ref().map(|devices| {
            devices.resolve(
                fleet.profile().block_size,
                &source,
                (&origin, &text),
                folder.unwrap_or(here),
            )
        });
        if what.tick_jitter {
            source.check_tick_jitter()?;
        }
        let baseline = match &what.baseline {
            None => policies[0],
            Some(name) => {
                let policy = name.parse().map_err(|error| bad(format!("--baseline: {error}")))?;
                if !policies.contains(&policy) {
                    return Err(bad(format!("--baseline: {policy} is not among the policies")));
                }
                policy
            }
        };
        let rates = if what.rates.is_empty() { vec![what.rate_scale] } else { what.rates.clone() };
        if let Some(twice) = twice(&rates) {
            return Err(bad(format!("--rates: {twice} is named twice")));
        }
        let seed = what.seed.unwrap_or(file.seed);
        if seed.checked_add(what.seeds).is_none() {
            let why = format!("{} from {seed} on go beyond {}", what.seeds, u64::MAX);
            return Err(bad(format!("--seeds: {why}, expected a lower --seed")));
        }
        let mut live = file.live;
        let (least, most) = SPEEDUPS;
        if !(least..=most).contains(&live.speedup) {
            let why = format!("{}, expected a number from {least} to {most}", live.speedup);
            return Err(bad_field(&origin, &text, "live.speedup", &why));
        }
        if !(0.0..=1e9).contains(&file.network.hop_us) {
            let why = format!("{}, expected 0 or more", file.network.hop_us);
            return Err(bad_field(&origin, &text, "network.hop_us", &why));
        }
        if !(1..=MOST_REPORT_MS).contains(&file.network.report_every_ms) {
            let why = format!("{}, expected 1 to {MOST_REPORT_MS}", file.network.report_every_ms);
            return Err(bad_field(&origin, &text, "network.report_every_ms", &why));
        }
        for (field, seconds) in [("slo.ttft_s", file.slo.ttft_s), ("slo.tpot_s", file.slo.tpot_s)] {
            if seconds <= 0.0 || seconds.is_nan() {
                let why = format!("{seconds}, expected seconds above 0");
                return Err(bad_field(&origin, &text, field, &why));
            }
        }
        if what.trace.is_some() {
            live.requests = None;
        }
        Ok(Self {
            scenario: file.name,
            fleet,
            policies,
            source,
            rates,
            tick_jitter: what.tick_jitter,
            seed,
            seeds: what.seeds,
            baseline,
            capacity: what.capacity,
            live,
            slo: file.slo,
            network: file.network,
            pool: file.pool,
            faults: file.faults,
            handover: file.handover,
            devices: devices.transpose()?,
            prices: (what.cost || what.prices.are_given())
                .then(|| what.prices.load())
                .transpose()?,
            sharing,
            variants: file.variants,
            warm_up: 0.0,
            give_up: false,
            variant: None,
            rows: what.parquet.is_some(),
        })
    }

    /// Whether anybody is kept apart, or could be.
    pub fn has_tenants(&self) -> bool {
        self.sharing != Sharing::default() || self.source.tenants().count() > 1
    }

    /// Whether there is more than one run a policy.
    pub fn is_grid(&self) -> bool {
        self.seeds > 1 || self.rates.len() > 1
    }

    /// Who serves.
    pub fn title(&self) -> String {
        match &self.devices {
            None => self.fleet.title(),
            Some(devices) => {
                let name = &devices.profile.name;
                let whose = match devices.users {
                    Some(users) => format!("{users} users"),
                    None => "a user each session".to_owned(),
                };
                let workers = match devices.stays.all() {
                    true => String::new(),
                    false => {
                        format!("{}, {}", devices.stays.described(), self.fleet.title())
                    }
                };
                format!("{whose} with a device of profile {name}{workers}")
            }
        }
    }

    pub fn is_device_only(&self) -> bool {
        self.devices.as_ref().is_some_and(|devices| devices.stays.all())
    }

    pub fn scenario(&self, policy: PolicyConfig, seed: u64) -> Scenario {
        Scenario {
            // Where everything goes to the devices, nobody else is there.
            groups: if self.is_device_only() { Vec::new() } else { self.fleet.groups() },
            policy,
            queue: warmpath_core::routing::QueueLimits::default(),
            pool: self.pool.clone(),
            // Where a pool is left out of a copy, nothing of it can fail.
            faults: if self.pool.is_some() { self.faults.clone() } else { Vec::new() },
            handover: self.handover,
            devices: self.devices.as_ref().map(|devices| devices.fleet(&self.source)),
            network: self.network,
            seed,
        }
    }
}

impl ScenarioFile {
    /// Who serves. Profiles that the file names as files lie in `folder`, those of flags here.
    fn fleet(&self, what: &What, origin: &str, text: &str, folder: &Path) -> Result<Fleet> {
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

/// The first item that stands in a list twice.
fn twice<T: PartialEq>(items: &[T]) -> Option<&T> {
    items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)).map(|(_, item)| item)
}

/// A profile by name, or a file in `folder`.
pub fn load_profile(name: &str, folder: &Path) -> Result<Profile> {
    profiles::load(name, folder).map_err(bad)
}

pub fn looks_like_a_file(name: &str) -> bool {
    name.contains(['/', '.'])
}

pub fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> anyhow::Error {
    let known = known.collect::<Vec<_>>().join(", ");
    bad(format!("unknown {kind} '{name}', expected one of: {known}; or a file NAME.toml"))
}
