//! What a world is made of.

use crate::devices::DeviceFleet;
use crate::faults::Fault;
use serde::{Deserialize, Serialize};
use warmpath_core::engine::handover::HandoverLink;
use warmpath_core::engine::profile::{Profile, ProfileError};
use warmpath_core::event::Role;
use warmpath_core::id::WorkerId;
use warmpath_core::pool::PoolSpec;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::time::Duration;

#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// The fleet. Ids of workers run through the groups in order.
    pub groups: Vec<Group>,
    pub policy: PolicyConfig,
    /// What the workers share, where their profile has a way to it.
    pub pool: Option<PoolSpec>,
    /// What goes wrong with it.
    pub faults: Vec<Fault>,
    /// The way of KV from groups that prefill to groups that decode.
    pub handover: Option<HandoverLink>,
    /// What users have of their own; None: everything goes to the workers.
    pub devices: Option<DeviceFleet>,
    pub network: Network,
    /// For policies that draw lots; a workload has a seed of its own.
    pub seed: u64,
}

/// Workers that are alike.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Group {
    /// What reports call it.
    pub name: String,
    pub workers: u32,
    #[serde(skip_serializing_if = "Role::is_both")]
    pub role: Role,
    pub profile: Profile,
}

/// Why a fleet can't be. `group` counts from 0.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FleetError {
    #[error("workers: 0, expected at least 1")]
    NoWorkers,
    #[error("profile: {0}")]
    Profile(#[from] ProfileError),
    #[error("{0}")]
    Link(ProfileError),
    /// A name that two groups have: nobody could tell them apart in a report.
    #[error("group \"{0}\" stands there twice")]
    SameName(String),
    #[error(
        "group \"{group}\": role {role} without a [handover], expected the link that KV goes over"
    )]
    NoLink { group: String, role: &'static str },
    #[error("group \"{group}\": role {role} without a group of role {other}, expected one of each")]
    NoOther { group: String, role: &'static str, other: &'static str },
    #[error(
        "groups \"{first}\" and \"{other}\": {what} {one} and {two}, expected the same throughout a fleet"
    )]
    Differs { first: String, other: String, what: &'static str, one: String, two: String },
}

impl Group {
    /// A fleet of one kind.
    pub fn alone(workers: u32, profile: Profile) -> Vec<Self> {
        vec![Self { name: profile.name.clone(), workers, role: Role::Both, profile }]
    }
}

/// Whether these can be one fleet. A router names blocks of one size for one model; what workers
/// give each other must have the same bytes on both sides.
pub fn check_fleet(
    groups: &[Group],
    pool: bool,
    handover: Option<&HandoverLink>,
) -> Result<(), FleetError> {
    check_roles(groups, handover)?;
    if groups.iter().all(|group| group.workers == 0) {
        return Err(FleetError::NoWorkers);
    }
    let first = &groups[0];
    for (i, group) in groups.iter().enumerate() {
        group.profile.check()?;
        if groups[..i].iter().any(|other| other.name == group.name) {
            return Err(FleetError::SameName(group.name.clone()));
        }
        differ(first, group, "block_size", |profile| Some(profile.block_size))?;
        differ(first, group, "model", |profile| profile.model().map(str::to_owned))?;
        let gives = |group: &Group| {
            let shares = group.profile.peers.is_some() || pool && group.profile.pool.is_some();
            shares || !group.role.is_both()
        };
        if groups.iter().any(gives) {
            differ(first, group, "kv_bytes_per_token", |profile| Some(profile.kv_bytes_per_token))?;
        }
        if pool {
            let link = |profile: &Profile| profile.pool.map(|link| link.gb_s.to_string());
            differ(first, group, "pool.gb_s", link)?;
        }
    }
    Ok(())
}

/// Who computes for others needs somebody who answers, the other way round, and a link between them.
fn check_roles(groups: &[Group], handover: Option<&HandoverLink>) -> Result<(), FleetError> {
    handover.map_or(Ok(()), HandoverLink::check).map_err(FleetError::Link)?;
    for group in groups.iter().filter(|group| group.workers > 0) {
        let (role, name) = (group.role, group.name.clone());
        let other = match role {
            Role::Both => continue,
            Role::Prefill => Role::Decode,
            Role::Decode => Role::Prefill,
        };
        if handover.is_none() {
            return Err(FleetError::NoLink { group: name, role: role.name() });
        }
        if !groups.iter().any(|group| group.role == other && group.workers > 0) {
            let (role, other) = (role.name(), other.name());
            return Err(FleetError::NoOther { group: name, role, other });
        }
    }
    Ok(())
}

/// Nobody differs from what has no such value.
fn differ<T: PartialEq + ToString>(
    first: &Group,
    other: &Group,
    what: &'static str,
    of: impl Fn(&Profile) -> Option<T>,
) -> Result<(), FleetError> {
    match (of(&first.profile), of(&other.profile)) {
        (Some(one), Some(two)) if one != two => Err(FleetError::Differs {
            first: first.name.clone(),
            other: other.name.clone(),
            what,
            one: one.to_string(),
            two: two.to_string(),
        }),
        _ => Ok(()),
    }
}

impl Scenario {
    pub fn workers(&self) -> u32 {
        self.groups.iter().map(|group| group.workers).sum()
    }

    /// Each worker with its group, in order.
    pub fn each_worker(&self) -> impl Iterator<Item = (WorkerId, &Group)> {
        let all = self.groups.iter();
        let groups = all.flat_map(|group| core::iter::repeat_n(group, group.workers as usize));
        groups.enumerate().map(|(i, group)| (WorkerId(i as u32), group))
    }
}

/// The way between client and router and between router and workers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Each hop, in microseconds of model time.
    pub hop_us: f64,
    /// How often a busy worker reports its load, in milliseconds of model time.
    pub report_every_ms: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self { hop_us: 100.0, report_every_ms: 1_000 }
    }
}

impl Network {
    pub fn hop(&self) -> Duration {
        Duration::from_nanos_f64(self.hop_us * 1e3)
    }

    pub fn report_every(&self) -> Duration {
        Duration::from_millis(self.report_every_ms)
    }
}
