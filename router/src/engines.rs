//! Workers that are real engines: `[[worker]]` tables. Their blocks are known from vLLM's KV events.

use crate::config_error::ConfigError;
use crate::urls::normal_url;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use warmpath_core::engine::profile::Profile;
use warmpath_kv_events::endpoint_address;
use warmpath_launch::{names, profiles};

/// The endpoints are those that the engine names itself.
pub const AUTO: &str = "auto";
/// The engine publishes no events: it is believed to hold what it was sent.
pub const NONE: &str = "none";

/// One engine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Where it takes requests, `http://host:port`.
    pub url: String,
    /// Its name in logs and tables. Empty: none.
    #[serde(default)]
    pub name: String,
    /// `tcp://host:port` of its KV events, "auto" or "none".
    pub kv_events: String,
    /// `tcp://host:port` of their replay. None: a gap empties what is known of it.
    #[serde(default)]
    pub kv_events_replay: Option<String>,
    /// Only events of topics that begin so.
    #[serde(default)]
    pub kv_events_topic: String,
    /// None: the engine says it.
    #[serde(default)]
    pub model: Option<String>,
    /// Tokens of a block. None: the engine says it.
    #[serde(default)]
    pub block_size: Option<u32>,
    /// Blocks of its GPU memory. None: the engine says it.
    #[serde(default)]
    pub blocks: Option<u64>,
    /// Requests that it runs at the same time. None: the engine says it.
    #[serde(default)]
    pub max_num_seqs: Option<u32>,
    /// Its speed, as far as the router must estimate it.
    pub profile: Profile,
}

impl EngineConfig {
    /// An engine that says all of itself.
    pub fn new(url: &str, profile: Profile) -> Self {
        Self {
            url: url.to_owned(),
            name: String::new(),
            kv_events: AUTO.to_owned(),
            kv_events_replay: None,
            kv_events_topic: String::new(),
            model: None,
            block_size: None,
            blocks: None,
            max_num_seqs: None,
            profile,
        }
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        normal_url(&self.url).map_err(|why| ("url", why))?;
        if self.kv_events == AUTO || self.kv_events == NONE {
            let given = self.kv_events_replay.is_some() || !self.kv_events_topic.is_empty();
            if given {
                let with = "with kv_events_replay or kv_events_topic, expected tcp://host:port";
                return Err(("kv_events", format!("{:?} {with}", self.kv_events)));
            }
        } else {
            let others = ", \"auto\" or \"none\"";
            endpoint_address(&self.kv_events).map_err(|why| ("kv_events", why + others))?;
        }
        if let Some(replay) = &self.kv_events_replay {
            endpoint_address(replay).map_err(|why| ("kv_events_replay", why))?;
        }
        if let Some(size) = self.block_size.filter(|size| !(1..=65_536).contains(size)) {
            return Err(("block_size", format!("{size}, expected 1 to 65536 tokens")));
        }
        for (field, zero) in
            [("blocks", self.blocks == Some(0)), ("max_num_seqs", self.max_num_seqs == Some(0))]
        {
            if zero {
                return Err((field, "0, expected at least 1".to_owned()));
            }
        }
        self.profile.check().map_err(|error| ("profile", format!("{}: {}", error.field, error.why)))
    }
}

/// Checks all engines. The error names the first bad field.
pub fn check(engines: &[EngineConfig], has_public_prefixes: bool) -> Result<(), ConfigError> {
    if has_public_prefixes && !engines.is_empty() {
        let why = "given with [[worker]], expected only one of the two: an engine keeps public prefixes once \
                   for each salt";
        return Err(ConfigError { field: "public_prefixes".to_owned(), why: why.to_owned() });
    }
    for (i, engine) in engines.iter().enumerate() {
        let named = |(field, why)| ConfigError { field: format!("worker[{i}].{field}"), why };
        engine.check().map_err(named)?;
    }
    Ok(())
}

/// One engine as a file has it.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct EngineEntry {
    url: String,
    #[serde(default)]
    name: String,
    kv_events: String,
    kv_events_replay: Option<String>,
    #[serde(default)]
    kv_events_topic: String,
    model: Option<String>,
    block_size: Option<u32>,
    blocks: Option<u64>,
    max_num_seqs: Option<u32>,
    /// A profile by name, or its file.
    profile: PathBuf,
}

impl EngineEntry {
    /// Reads its profile. A path is relative to `folder`.
    pub fn resolve(self, i: usize, folder: &Path) -> Result<EngineConfig, ConfigError> {
        let name = self.profile.to_str().filter(|name| !names::is_path(name));
        let profile = match name {
            Some(name) => profiles::load(name, Path::new("")),
            None => profiles::from_file(&folder.join(&self.profile)).map(|(profile, _)| profile),
        };
        let field = format!("worker[{i}].profile");
        let profile = profile.map_err(|why| ConfigError { field, why })?;
        Ok(EngineConfig {
            url: self.url,
            name: self.name,
            kv_events: self.kv_events,
            kv_events_replay: self.kv_events_replay,
            kv_events_topic: self.kv_events_topic,
            model: self.model,
            block_size: self.block_size,
            blocks: self.blocks,
            max_num_seqs: self.max_num_seqs,
            profile,
        })
    }
}
