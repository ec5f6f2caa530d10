//! Variants of one scenario: its profile with parts of the memory hierarchy left out, side by side.

use crate::config::Setup;
use crate::groups::Fleet;
use crate::results::Results;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use warmpath_core::engine::profile::Profile;

/// A `[[variant]]` of a scenario file: what it keeps of the profile.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    /// Names of the tiers behind HBM that it has.
    pub tiers: Vec<String>,
    /// Whether its workers use the shared pool, and fetch from each other.
    pub pool: bool,
    pub peers: bool,
    /// Whether what the scenario says goes wrong goes wrong here.
    #[serde(default = "yes")]
    pub faults: bool,
}

const fn yes() -> bool {
    true
}

impl Variant {
    /// The profile with what the variant keeps; an error names the field and what was expected.
    pub fn of(&self, whole: &Profile, has_pool: bool) -> Result<Profile, String> {
        let known: Vec<&str> = whole.tiers.iter().map(|tier| tier.name.as_str()).collect();
        if let Some(name) = self.tiers.iter().find(|name| !known.contains(&name.as_str())) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!(
                "variant \"{}\": tiers: '{name}', the profile has {known}",
                self.name
            ));
        }
        let lacks = |part: &str| {
            let why = format!("{part} = true, but the profile has no [{part}]");
            Err(format!("variant \"{}\": {why}", self.name))
        };
        if self.pool && whole.pool.is_none() {
            return lacks("pool");
        }
        if self.pool && !has_pool {
            let why = "pool = true, but the scenario has no [pool]";
            return Err(format!("variant \"{}\": {why}", self.name));
        }
        if self.peers && whole.peers.is_none() {
            return lacks("peers");
        }
        let mut profile = whole.clone();
        profile.tiers.retain(|tier| self.tiers.contains(&tier.name));
        profile.pool = profile.pool.filter(|_| self.pool);
        profile.peers = profile.peers.filter(|_| self.peers);
        Ok(profile)
    }
}

/// Plays each variant of a set-up, or the set-up itself where it has none.
pub fn each(setup: &mut Setup, play: impl Fn(&Setup) -> Result<Results>) -> Result<Results> {
    if setup.variants.is_empty() {
        return play(setup);
    }
    let (workers, whole) = (setup.fleet.workers(), setup.fleet.profile().clone());
    let faults = setup.faults.clone();
    let mut all = Results::default();
    for variant in setup.variants.clone() {
        let part = variant.of(&whole, setup.pool.is_some()).expect("checked when it was read");
        setup.fleet = Fleet::alike(workers, part);
        setup.faults = if variant.faults { faults.clone() } else { Vec::new() };
        setup.variant = Some(variant.name);
        all.extend(play(setup)?);
    }
    (setup.fleet, setup.faults, setup.variant) = (Fleet::alike(workers, whole), faults, None);
    Ok(all)
}
