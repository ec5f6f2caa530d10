//! The workers and the devices of a world, and whether these can be one fleet.

use crate::placement::Stays;
use serde::Serialize;
use warmpath_core::engine::profile::{Profile, ProfileError};
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::event::Role;

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

/// Why these can't be one fleet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FleetError {
    #[error("workers: 0, expected at least 1")]
    NoWorkers,
    #[error("profile: {0}")]
    Profile(#[from] ProfileError),
    #[error("{0}")]
    Link(ProfileError),
    /// Two groups have the same name, so a report could not tell them apart.
    #[error("group \"{0}\" is used twice, expected a different name for each group")]
    SameName(String),
    #[error(
        "group \"{group}\": role {role} without a [kv_transfer], expected the link for KV transfers"
    )]
    NoLink { group: String, role: &'static str },
    #[error("group \"{group}\": role {role} without a group of role {other}, expected one of each")]
    NoOther { group: String, role: &'static str, other: &'static str },
    #[error(
        "groups \"{first}\" and \"{other}\": {what} {one} and {two}, expected the same throughout a fleet"
    )]
    Differs { first: String, other: String, what: &'static str, one: String, two: String },
}

/// One device for each user.
#[derive(Clone, PartialEq, Debug)]
pub struct DeviceFleet {
    pub profile: Profile,
    /// Number of users; sessions are assigned to them in turn. None: each session is another user. A
    /// request without a session is another user either way.
    pub users: Option<u32>,
    /// The requests that are served on devices; the others go to the workers.
    pub stays: Stays,
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
    kv_transfer: Option<&KvTransferLink>,
) -> Result<(), FleetError> {
    check_roles(groups, kv_transfer)?;
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

/// Prefill workers need decode workers, decode workers need prefill workers, and both need a link.
fn check_roles(groups: &[Group], kv_transfer: Option<&KvTransferLink>) -> Result<(), FleetError> {
    kv_transfer.map_or(Ok(()), KvTransferLink::check).map_err(FleetError::Link)?;
    for group in groups.iter().filter(|group| group.workers > 0) {
        let (role, name) = (group.role, group.name.clone());
        let other = match role {
            Role::Both => continue,
            Role::Prefill => Role::Decode,
            Role::Decode => Role::Prefill,
        };
        if kv_transfer.is_none() {
            return Err(FleetError::NoLink { group: name, role: role.name() });
        }
        if !groups.iter().any(|group| group.role == other && group.workers > 0) {
            let (role, other) = (role.name(), other.name());
            return Err(FleetError::NoOther { group: name, role, other });
        }
    }
    Ok(())
}

/// Whether both have the same value. A group without such a value differs from none.
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
