//! Users' own devices in a scenario.

use super::names::load_profile_of;
use super::source::Source;
use crate::files::{bad, bad_field};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::profile::Profile;
use warmpath_core::id::TenantId;
use warmpath_sim::{Classes, DeviceFleet, Stays};

/// `[devices]` of a scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicesFile {
    pub profile: String,
    /// Number of users that own the sessions. None: each session has its own user.
    pub users: Option<u32>,
    /// As in [`StaysSetup`], like the two keys below.
    pub up_to_tokens: Option<u32>,
    pub classes: Option<Vec<String>>,
    pub tenants: Option<Vec<u32>>,
}

#[derive(Clone, Debug, Serialize)]
pub struct DevicesSetup {
    pub profile: Profile,
    pub users: Option<u32>,
    #[serde(flatten)]
    pub stays: StaysSetup,
}

/// Which requests stay on the device of their user. A request stays if every given rule allows it.
/// Without rules, all requests stay.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct StaysSetup {
    /// Prompts of up to this many tokens.
    pub up_to_tokens: Option<u32>,
    /// Names of classes of a mixed workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// Numbers of tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<u32>>,
}

impl DevicesFile {
    /// `block_size` is that of the workload. An error names the field and what was expected.
    pub fn resolve(
        &self,
        block_size: u32,
        source: &Source,
        (origin, text): (&str, &str),
        folder: &Path,
    ) -> Result<DevicesSetup> {
        let err = |field: &str, why: &str| bad_field(origin, text, field, why);
        if self.users == Some(0) {
            return Err(err("devices.users", "0, expected at least 1"));
        }
        let Self { users, up_to_tokens, ref classes, ref tenants, .. } = *self;
        let stays = StaysSetup { up_to_tokens, classes: classes.clone(), tenants: tenants.clone() };
        stays.check(source).map_err(|(field, why)| err(&format!("devices.{field}"), &why))?;
        let profile = load_profile_of(&self.profile, folder, "devices.profile", (origin, text))?;
        DevicesSetup::new(profile, block_size, users, stays)
    }
}

impl StaysSetup {
    pub fn up_to(tokens: u32) -> Self {
        Self { up_to_tokens: Some(tokens), ..Self::default() }
    }

    pub fn of_classes(classes: Vec<String>) -> Self {
        Self { classes: Some(classes), ..Self::default() }
    }

    pub const fn all(&self) -> bool {
        self.up_to_tokens.is_none() && self.classes.is_none() && self.tenants.is_none()
    }

    fn check(&self, source: &Source) -> Result<(), (&'static str, String)> {
        if self.up_to_tokens == Some(0) {
            return Err(("up_to_tokens", "0, expected at least 1".into()));
        }
        let known = source.classes();
        for class in self.classes.iter().flatten() {
            if known.is_empty() {
                let why = format!("the workload {} has no classes", source.name());
                return Err(("classes", why));
            }
            if !known.contains(&class.as_str()) {
                let why = format!("'{class}', expected one or more of: {}", known.join(", "));
                return Err(("classes", why));
            }
        }
        let count = source.tenants().count();
        if let Some(tenant) = self.tenants.iter().flatten().find(|&&tenant| tenant >= count) {
            let why = format!("{tenant}, expected numbers below {count}, the number of tenants");
            return Err(("tenants", why));
        }
        Ok(())
    }

    fn stays(&self, source: &Source) -> Stays {
        let known = source.classes();
        let numbers = |names: &Vec<String>| Classes {
            of: known.len() as u32,
            stay: (0..)
                .zip(&known)
                .filter(|(_, of)| names.iter().any(|n| n == *of))
                .map(|(i, _)| i)
                .collect(),
        };
        Stays {
            up_to_tokens: self.up_to_tokens,
            classes: self.classes.as_ref().map(numbers),
            tenants: self.tenants.as_ref().map(|of| of.iter().copied().map(TenantId).collect()),
        }
    }

    /// The rules in words, for a title. Empty if every request stays.
    pub fn described(&self) -> String {
        let tokens = self.up_to_tokens.map(|most| format!(" up to {most} prompt tokens"));
        let classes = self.classes.as_ref().map(|names| format!(" of {}", names.join(", ")));
        let tenants = self.tenants.as_ref().map(|tenants| {
            let tenants: Vec<String> = tenants.iter().map(u32::to_string).collect();
            format!(" of tenants {}", tenants.join(", "))
        });
        [tokens, classes, tenants].into_iter().flatten().collect()
    }
}

impl DevicesSetup {
    pub fn new(
        mut profile: Profile,
        block_size: u32,
        users: Option<u32>,
        stays: StaysSetup,
    ) -> Result<Self> {
        profile.set_block_size(block_size);
        let name = &profile.name;
        profile.check().map_err(|error| bad(format!("profile {name}: {error}")))?;
        Ok(Self { profile, users, stays })
    }

    pub fn fleet(&self, source: &Source) -> DeviceFleet {
        let Self { profile, users, stays } = self;
        DeviceFleet { profile: profile.clone(), users: *users, stays: stays.stays(source) }
    }

    /// Number of devices, including those whose users sent no request. `used`: devices that served
    /// one.
    pub fn count(&self, used: usize) -> u32 {
        self.users.unwrap_or(used as u32)
    }
}
