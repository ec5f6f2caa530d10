//! Variants of one scenario: its profile without parts of the memory hierarchy, or with another pool.

use serde::{Deserialize, Serialize};
use warmpath_core::engine::profile::{PoolLink, Profile};
use warmpath_core::pool::PoolSpec;

/// One `[[variant]]` of a scenario file: which parts of the profile it keeps.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    /// Names of the tiers behind HBM that it keeps.
    pub tiers: Vec<String>,
    /// Whether its workers use the shared pool, and fetch from each other.
    pub pool: bool,
    pub peers: bool,
    /// Whether the faults of the scenario happen in this variant.
    #[serde(default = "yes")]
    pub faults: bool,
    /// `false`: the router does nothing about failing workers in this variant.
    #[serde(default = "yes")]
    pub reliability: bool,
    /// `false`: the router takes on every request in this variant, whatever `[admission]` says.
    #[serde(default = "yes")]
    pub admission: bool,
    /// A pool that replaces the scenario's. Needs `pool = true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<OtherPool>,
}

/// `[variant.instead]`: another pool, and the workers' link to it instead of their profile's.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OtherPool {
    pub pool: PoolSpec,
    pub link: PoolLink,
}

const fn yes() -> bool {
    true
}

impl Variant {
    /// The profile with the parts that the variant keeps. An error names the field and what was
    /// expected.
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
        let own_link = self.instead.is_none();
        if self.pool && own_link && whole.pool.is_none() {
            return lacks("pool");
        }
        if self.pool && own_link && !has_pool {
            let why = "pool = true, but the scenario has no [pool]";
            return Err(format!("variant \"{}\": {why}", self.name));
        }
        if !self.pool && !own_link {
            let why = "[variant.instead] with pool = false, expected pool = true";
            return Err(format!("variant \"{}\": {why}", self.name));
        }
        if self.peers && whole.peers.is_none() {
            return lacks("peers");
        }
        let mut profile = whole.clone();
        profile.tiers.retain(|tier| self.tiers.contains(&tier.name));
        profile.pool = profile.pool.filter(|_| self.pool);
        profile.peers = profile.peers.filter(|_| self.peers);
        if let Some(OtherPool { pool, link }) = &self.instead {
            profile.pool = Some(*link);
            let of = |why: String| format!("variant \"{}\": instead.{why}", self.name);
            pool.check(profile.block_size).map_err(|error| of(format!("pool.{error}")))?;
            profile.check().map_err(|error| of(error.to_string().replacen("pool.", "link.", 1)))?;
        }
        Ok(profile)
    }

    /// The pool of the variant. `own`: the scenario's.
    pub fn pool(&self, own: Option<&PoolSpec>) -> Option<PoolSpec> {
        self.instead.as_ref().map(|other| &other.pool).or(own).cloned()
    }
}
