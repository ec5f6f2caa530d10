//! Fleets: workers of one profile, or groups of several profiles in one fleet.

use super::names::load_profile_of;
use crate::files::{bad, bad_field, bad_lines};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::physics::Validation;
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::event::Role;
use warmpath_sim::{Group, check_fleet};

/// The router's worker numbers have 16 bits.
const MOST_WORKERS: u32 = 65_535;

/// One `[[group]]` of a scenario file: workers of one profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupFile {
    /// Default: the profile's name.
    pub name: Option<String>,
    pub workers: u32,
    pub profile: String,
    /// What its workers do for a request. Default: prefill and decode.
    #[serde(default)]
    pub role: Role,
}

/// The workers, as in the configuration of a report.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Fleet {
    Alike {
        workers: u32,
        profile: Box<Profile>,
    },
    Mixed {
        /// Workers in all groups.
        workers: u32,
        groups: Vec<Group>,
    },
}

impl Fleet {
    pub fn alike(workers: u32, profile: Profile) -> Self {
        Self::Alike { workers, profile: Box::new(profile) }
    }

    /// The groups of a scenario file. `folder` is where profile files lie; `file` is the scenario's
    /// name and text, for errors.
    pub fn mixed(files: &[GroupFile], folder: &Path, file: (&str, &str)) -> Result<Self> {
        let mut errors = Vec::new();
        let mut groups = Vec::new();
        for (i, group) in files.iter().enumerate() {
            match load_profile_of(&group.profile, folder, &format!("group[{i}].profile"), file) {
                Ok(profile) => {
                    let name = group.name.clone().unwrap_or_else(|| profile.name.clone());
                    let GroupFile { workers, role, .. } = *group;
                    groups.push(Group { name, workers, role, profile });
                }
                Err(error) => errors.push(error.to_string()),
            }
        }
        if !errors.is_empty() {
            return Err(bad_lines(errors.join("\n")));
        }
        Ok(Self::Mixed {
            workers: files.iter().fold(0, |all, file| file.workers.saturating_add(all)),
            groups,
        })
    }

    pub const fn workers(&self) -> u32 {
        match self {
            Self::Alike { workers, .. } | Self::Mixed { workers, .. } => *workers,
        }
    }

    /// Sets the number of workers. Does nothing if there are several groups.
    pub const fn set_workers(&mut self, count: u32) {
        if let Self::Alike { workers, .. } = self {
            *workers = count;
        }
    }

    pub fn groups(&self) -> Vec<Group> {
        match self {
            Self::Alike { workers, profile } => Group::alone(*workers, (**profile).clone()),
            Self::Mixed { groups, .. } => groups.clone(),
        }
    }

    /// The profile of the first worker. All workers have its block size and model.
    pub fn profile(&self) -> &Profile {
        match self {
            Self::Alike { profile, .. } => profile,
            Self::Mixed { groups, .. } => &groups[0].profile,
        }
    }

    /// The profile of each group.
    pub fn profiles_mut(&mut self) -> Vec<&mut Profile> {
        match self {
            Self::Alike { profile, .. } => vec![profile],
            Self::Mixed { groups, .. } => {
                groups.iter_mut().map(|group| &mut group.profile).collect()
            }
        }
    }

    pub fn profiles(&self) -> Vec<&Profile> {
        match self {
            Self::Alike { profile, .. } => vec![profile],
            Self::Mixed { groups, .. } => groups.iter().map(|group| &group.profile).collect(),
        }
    }

    /// The profile of each worker, in the order of the fleet.
    pub fn each_worker(&self) -> Vec<&Profile> {
        match self {
            Self::Alike { workers, profile } => vec![profile; *workers as usize],
            Self::Mixed { groups, .. } => {
                let of = |group: &Group| group.workers as usize;
                groups.iter().flat_map(|group| vec![&group.profile; of(group)]).collect()
            }
        }
    }

    /// The role of each worker, in the order of the fleet.
    pub fn each_role(&self) -> Vec<Role> {
        let groups = self.groups();
        groups.iter().flat_map(|group| vec![group.role; group.workers as usize]).collect()
    }

    /// `origin` and `text` are the scenario file's, for errors.
    pub fn check(
        &self,
        pool: bool,
        kv_transfer: Option<&KvTransferLink>,
        origin: &str,
        text: &str,
    ) -> Result<()> {
        let Self::Mixed { workers, groups } = self else { return Ok(()) };
        if *workers > MOST_WORKERS {
            let why = format!("{workers} in all groups, expected at most {MOST_WORKERS}");
            return Err(bad_field(origin, text, "group.workers", &why));
        }
        check_fleet(groups, pool, kv_transfer).map_err(|error| bad(format!("{origin}: {error}")))
    }

    /// Names of the tiers, in order. If groups differ at a place, both names stand there with a
    /// slash.
    pub fn tier_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for profile in self.profiles() {
            for (i, name) in profile.tier_names().into_iter().enumerate() {
                match names.get_mut(i) {
                    None => names.push(name.to_owned()),
                    Some(known) if known.split('/').any(|known| known == name) => {}
                    Some(known) => *known += &format!("/{name}"),
                }
            }
        }
        names
    }

    /// In words: "4 workers of profile a", "4 workers of profile a and 2 of b".
    pub fn title(&self) -> String {
        let groups = self.groups();
        let rest = groups.iter().skip(1);
        let rest = rest.map(|group| format!(" and {} of {}", group.workers, group.profile.name));
        let first = &groups[0];
        let rest: String = rest.collect();
        format!("{} workers of profile {}{rest}", first.workers, first.profile.name)
    }

    /// Whether some workers do only prefill or only decode.
    pub fn shares_requests(&self) -> bool {
        self.groups().iter().any(|group| !group.role.is_both())
    }

    /// Number of workers. None: their roles differ, so that their loads cannot be compared.
    pub fn comparable_workers(&self) -> Option<u32> {
        (!self.shares_requests()).then(|| self.workers())
    }

    /// Names of all profiles, for a report.
    pub fn profile_names(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for profile in self.profiles() {
            if !names.contains(&profile.name.as_str()) {
                names.push(&profile.name);
            }
        }
        names.join(" + ")
    }

    pub fn validated(&self) -> bool {
        self.profiles().iter().all(|profile| profile.validated)
    }

    /// None: groups have a profile each.
    pub fn standing(&self) -> Option<Validation> {
        match self {
            Self::Alike { profile, .. } => Some(profile.standing()),
            Self::Mixed { .. } => None,
        }
    }

    pub fn hbm_tokens_computed(&self) -> Option<u64> {
        match self {
            Self::Alike { profile, .. } => profile.overridden_hbm_tokens(),
            Self::Mixed { .. } => None,
        }
    }
}
