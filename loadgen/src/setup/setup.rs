//! Everything that a run needs, from the scenario file and the flags. The JSON report contains all of
//! it, so that a result says how it was made.

use super::devices::DevicesSetup;
use super::fleet::Fleet;
use super::names::{self, SCENARIOS};
use super::policies;
use super::queue::QueueSetup;
use super::scenario::{Live, ScenarioFile};
use super::source::Source;
use super::tenants;
use super::variant::Variant;
use crate::args::What;
use crate::economics::Sheet;
use crate::files::{all_of, bad, bad_field, parse_checked};
use anyhow::Result;
use serde::Serialize;
use std::path::{Path, PathBuf};
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::pool::PoolSpec;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::{NamedPolicy, PolicyConfig};
use warmpath_core::routing::{AdmissionLimits, QueueLimits};
use warmpath_core::sharing::SharingRule;
use warmpath_router::admission::AdmissionConfig;
use warmpath_router::config::ReliabilityConfig;
use warmpath_sim::{Fault, Network, Routing, Scenario, check_faults};

/// A scenario with the flags applied.
#[derive(Clone, Debug, Serialize)]
pub struct Setup {
    pub scenario: String,
    #[serde(flatten)]
    pub fleet: Fleet,
    #[serde(serialize_with = "policies::as_spelled")]
    pub policies: Vec<NamedPolicy>,
    pub source: Source,
    /// Factors for the workload's arrival rate. The live run uses the first.
    pub rates: Vec<f64>,
    /// A factor for all of them, so that a larger fleet has more to do. 1 outside sweeps.
    #[serde(skip_serializing_if = "is_one")]
    pub load: f64,
    pub tick_jitter: bool,
    pub seed: u64,
    /// Number of seeds, from `seed` on. The live run uses the first.
    pub seeds: u64,
    /// The policy that the others are compared with.
    #[serde(serialize_with = "policies::as_label")]
    pub baseline: NamedPolicy,
    /// Whether to find each policy's capacity at the SLO.
    pub capacity: bool,
    pub live: Live,
    pub slo: Slo,
    pub network: Network,
    /// The routers before the fleet, in simulations.
    #[serde(skip_serializing_if = "Routing::is_plain")]
    pub routers: Routing,
    /// Limits for requests that the policy holds. None: the router's defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueSetup>,
    /// What the router does about failing workers. None: all of it where workers fail, else nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reliability: Option<ReliabilityConfig>,
    /// What the router takes on. None: everything that a worker has room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<AdmissionConfig>,
    /// The pool. Workers use it if their profile has a link to it.
    pub pool: Option<PoolSpec>,
    /// Faults of the pool.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The KV transfer from prefill workers to decode workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_transfer: Option<KvTransferLink>,
    /// Users' own devices, beside the workers or instead of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<DevicesSetup>,
    /// Prices for energy and cost. None: neither is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Sheet>,
    /// Who shares KV cache.
    pub sharing: SharingRule,
    pub variants: Vec<Variant>,
}

impl Setup {
    pub fn resolve(what: &What) -> Result<Self> {
        let name = if what.trace.is_some() { "trace" } else { "default" };
        let text = names::built_in(SCENARIOS, name).expect("a built-in scenario");
        Self::resolve_on(what, &format!("scenario {name}"), text)
    }

    /// Uses the built-in scenario unless the flags name a file. `name` names it in errors.
    pub fn resolve_on(what: &What, name: &str, built_in: &str) -> Result<Self> {
        let (origin, text, folder) = match &what.scenario {
            Some(name) => names::scenario(name)?,
            None => (name.to_owned(), built_in.to_owned(), PathBuf::new()),
        };
        let file = parse_checked(&origin, &text, ScenarioFile::checked)?;
        let here = Path::new("");
        // An error of a flag is said alone, those of the file are said together.
        let given_source = match (&what.trace, &what.workload) {
            (Some(path), _) => Some(Source::trace(path)?),
            (None, Some(name)) => Some(Source::workload(name, here)?),
            (None, None) => None,
        };
        let given_policies = what.policies.as_deref().map(policies::of_flag).transpose()?;
        let fleet = file.fleet(what, &origin, &text, &folder);
        let fleet =
            if what.profile.is_some() || what.workers.is_some() { Ok(fleet?) } else { fleet };
        let source = given_source
            .map_or_else(|| Source::workload_of(&file.workload, &folder, (&origin, &text)), Ok);
        let policies = given_policies.map_or_else(
            || policies::of_file(file.policies.as_deref(), &file.policy_tables, &origin, &text),
            Ok,
        );
        let (mut fleet, mut source, policies) = all_of(fleet, source, policies)?;
        if let Some(tenants) = what.tenants {
            source.set_tenants(tenants);
        }
        let sharing = what.sharing.unwrap_or(file.sharing);
        if sharing.public_prefixes && source.operators_tokens() == 0 {
            let why = "this workload has no operator texts, expected system_tokens above 0";
            return Err(match what.sharing {
                Some(sharing) => bad(format!("--sharing: {sharing}, but {why}")),
                None => bad_field(&origin, &text, "sharing.public_prefixes", why),
            });
        }
        if let Some(size) = what.block_size.or(source.own_block_size()) {
            fleet.profiles_mut().into_iter().for_each(|profile| profile.set_block_size(size));
        }
        // After the block size, since the room for KV depends on it.
        if let Some(tokens) = what.hbm_tokens {
            fleet.profiles_mut().into_iter().for_each(|profile| profile.hbm_tokens = tokens.0);
        }
        for profile in fleet.profiles() {
            profile.check().map_err(|error| bad(format!("profile {}: {error}", profile.name)))?;
        }
        fleet.check(file.pool.is_some(), file.kv_transfer.as_ref(), &origin, &text)?;
        source.check_block_size(fleet.profile().block_size)?;
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
                let why = format!(
                    "variant \"{}\" is used twice, expected a different name for each",
                    variant.name
                );
                return Err(bad(format!("{origin}: {why}")));
            }
            variant
                .of(fleet.profile(), file.pool.is_some())
                .map_err(|why| bad(format!("{origin}: {why}")))?;
        }
        let devices = file.devices.as_ref().map(|devices| {
            devices.resolve(fleet.profile().block_size, &source, (&origin, &text), &folder)
        });
        if what.tick_jitter {
            source.check_tick_jitter()?;
        }
        let baseline = match &what.baseline {
            None => policies[0].clone(),
            Some(label) => {
                let found = policies.iter().find(|policy| policy.label == *label);
                let known = || policies.iter().map(|policy| policy.label.as_str());
                let known = || known().collect::<Vec<_>>().join(", ");
                let why = || bad(format!("--baseline: '{label}', expected one of: {}", known()));
                found.cloned().ok_or_else(why)?
            }
        };
        let rates = if what.rates.is_empty() { vec![what.rate_scale] } else { what.rates.clone() };
        if let Some(twice) = twice(&rates) {
            return Err(bad(format!(
                "--rates: {twice} is given twice, expected different factors"
            )));
        }
        if rates.iter().any(|&rate| rate != 1.0) {
            source.check_rate(if what.rates.is_empty() { "--rate-scale" } else { "--rates" })?;
        }
        if what.capacity {
            source.check_rate("--capacity")?;
        }
        let seed = what.seed.unwrap_or(file.seed);
        check_seeds(seed, what.seeds)?;
        let live = file.live;
        Ok(Self {
            scenario: file.name,
            fleet,
            policies,
            source,
            rates,
            load: 1.0,
            tick_jitter: what.tick_jitter,
            seed,
            seeds: what.seeds,
            baseline,
            capacity: what.capacity,
            live,
            slo: file.slo,
            network: file.network,
            routers: what.routers.map_or(file.routers, |routers| Routing {
                speed_error: file.routers.speed_error,
                ..routers
            }),
            queue: file.queue,
            reliability: file.reliability,
            admission: file.admission,
            pool: file.pool,
            faults: file.faults,
            kv_transfer: file.kv_transfer,
            devices: devices.transpose()?,
            prices: (what.cost || what.prices.are_given())
                .then(|| what.prices.load())
                .transpose()?,
            sharing,
            variants: file.variants,
        })
    }

    /// Sets the number of seeds.
    pub fn set_seeds(&mut self, seeds: u64) -> Result<()> {
        check_seeds(self.seed, seeds)?;
        self.seeds = seeds;
        Ok(())
    }

    /// Its seed, or its seeds.
    pub fn seeds_in_words(&self) -> String {
        match self.seeds {
            1 => format!("seed {}", self.seed),
            count => format!("seeds {} to {}", self.seed, self.seed + count - 1),
        }
    }

    /// Notes for the reader of the figures: about the workload, and about who shares KV cache.
    pub fn notes(&self) -> Vec<String> {
        let tenants = self.source.tenants().count();
        let shared = || format!("KV cache is shared within: {}; tenants: {tenants}.", self.sharing);
        self.source.note().into_iter().chain(self.has_tenants().then(shared)).collect()
    }

    /// Whether tenants are kept apart, or could be.
    pub fn has_tenants(&self) -> bool {
        self.sharing != SharingRule::default() || self.source.tenants().count() > 1
    }

    /// Whether each policy has more than one run.
    pub fn is_grid(&self) -> bool {
        self.seeds > 1 || self.rates.len() > 1
    }

    /// The workers and devices in words.
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

    /// Limits for requests that the policy holds.
    pub fn queue_limits(&self) -> QueueLimits {
        self.queue.unwrap_or_default().limits()
    }

    /// A variant without the pool has no faults of it.
    fn faults_that_can_be(&self) -> Vec<Fault> {
        let can_be = |fault: &&Fault| self.pool.is_some() || !fault.kind.is_of_pool();
        self.faults.iter().filter(can_be).copied().collect()
    }

    /// What the router does about failing workers. By itself it does something only where workers may
    /// fail: otherwise the figures are those of a router that does nothing, to the byte.
    pub fn reliability(&self) -> ReliabilityConfig {
        let may_fail = self.faults.iter().any(|fault| fault.kind.is_of_worker());
        let by_itself =
            if may_fail { ReliabilityConfig::default() } else { ReliabilityConfig::OFF };
        self.reliability.unwrap_or(by_itself)
    }

    /// What the router takes on. None: everything.
    pub fn admission_limits(&self) -> Option<AdmissionLimits> {
        Some(self.admission.as_ref()?.limits(tenants::named))
    }

    pub fn scenario(&self, policy: PolicyConfig, seed: u64) -> Scenario {
        Scenario {
            // If every request goes to the devices, there are no workers.
            groups: if self.is_device_only() { Vec::new() } else { self.fleet.groups() },
            policy,
            queue: self.queue_limits(),
            pool: self.pool.clone(),
            faults: self.faults_that_can_be(),
            reliability: self.reliability().limits(),
            admission: self.admission_limits(),
            kv_transfer: self.kv_transfer,
            devices: self.devices.as_ref().map(|devices| devices.fleet(&self.source)),
            network: self.network,
            routers: self.routers,
            seed,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_one(value: &f64) -> bool {
    *value == 1.0
}

fn check_seeds(first: u64, seeds: u64) -> Result<()> {
    match first.checked_add(seeds) {
        Some(_) => Ok(()),
        None => {
            let why = format!("{seeds} seeds from {first} on exceed {}", u64::MAX);
            Err(bad(format!("--seeds: {why}, expected a lower --seed")))
        }
    }
}

/// The first item that occurs twice.
fn twice<T: PartialEq>(items: &[T]) -> Option<&T> {
    items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)).map(|(_, item)| item)
}
