//! Workers that are real engines: `[[worker]]` tables. Their blocks are known from vLLM's KV events.

use crate::config_error::ConfigError;
use crate::secret::Secret;
use crate::urls::normal_url;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tonic::codegen::http::Uri;
use warmpath_core::engine::profile::Profile;
use warmpath_kv_events::endpoint_address;
use warmpath_launch::{bounded, names, profiles};

/// The endpoints are those that the engine names itself.
pub const AUTO: &str = "auto";
/// The engine publishes no events: it is believed to hold what it was sent.
pub const NONE: &str = "none";

/// The most data-parallel ranks of one engine.
const MOST_RANKS: u32 = 256;

/// What an engine speaks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// vLLM's gRPC.
    #[default]
    Grpc,
    /// OpenAI's HTTP.
    OpenAi,
}

/// One engine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Where it takes requests, `http://host:port`.
    pub url: String,
    /// What it speaks there.
    #[serde(default)]
    pub api: Api,
    /// The bearer token for OpenAI's HTTP: vLLM's `--api-key`.
    #[serde(default, skip_serializing)]
    pub api_key: Option<Secret>,
    /// Caches behind the URL. Each is a worker of the router, and its requests name it.
    #[serde(default = "one")]
    pub data_parallel_ranks: u32,
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
    /// `http://host:port/path` of its Prometheus metrics. None: its load is what this router has booked.
    #[serde(default)]
    pub metrics: Option<String>,
    /// None: the engine says it.
    #[serde(default)]
    pub model: Option<String>,
    /// Tokens of a block. None: the engine says it.
    #[serde(default)]
    pub block_size: Option<u32>,
    /// Blocks of its GPU memory, of each rank. None: the engine says it.
    #[serde(default)]
    pub blocks: Option<u64>,
    /// Requests that it runs at the same time, in each rank. None: the engine says it.
    #[serde(default)]
    pub max_num_seqs: Option<u32>,
    /// Its speed, as far as the router must estimate it.
    pub profile: Profile,
}

const fn one() -> u32 {
    1
}

impl EngineConfig {
    /// An engine that says all of itself.
    pub fn new(url: &str, profile: Profile) -> Self {
        Self {
            url: url.to_owned(),
            api: Api::Grpc,
            api_key: None,
            data_parallel_ranks: 1,
            name: String::new(),
            kv_events: AUTO.to_owned(),
            kv_events_replay: None,
            kv_events_topic: String::new(),
            metrics: None,
            model: None,
            block_size: None,
            blocks: None,
            max_num_seqs: None,
            profile,
        }
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        normal_url(&self.url).map_err(|why| ("url", why))?;
        self.check_api()?;
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
        if let Some(url) = &self.metrics {
            let uri: Option<Uri> = url.parse().ok();
            let is_http = |uri: &Uri| uri.scheme_str() == Some("http") && uri.authority().is_some();
            if !uri.as_ref().is_some_and(is_http) {
                return Err(("metrics", format!("'{url}', expected http://host:port/metrics")));
            }
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
        self.check_ranks()?;
        self.profile.check().map_err(|error| ("profile", format!("{}: {}", error.field, error.why)))
    }

    fn check_api(&self) -> Result<(), (&'static str, String)> {
        if self.api == Api::Grpc {
            return match self.api_key {
                None => Ok(()),
                Some(_) => Err(("api_key", "given, expected api = \"openai\" with it".to_owned())),
            };
        }
        let key = self.api_key.as_ref().map_or("-", Secret::reveal);
        if key.is_empty() || key.len() > MOST_KEY || !key.bytes().all(|b| b.is_ascii_graphic()) {
            let why = format!("expected 1 to {MOST_KEY} characters of visible ASCII");
            return Err(("api_key", why));
        }
        if self.kv_events == AUTO {
            let why = "\"auto\" with api = \"openai\", expected tcp://host:port or \"none\"";
            return Err(("kv_events", why.to_owned()));
        }
        let untold =
            |field, more| Err((field, format!("missing, expected it with api = \"openai\"{more}")));
        let or_metrics = ", or `metrics`";
        match self.metrics {
            None if self.block_size.is_none() => untold("block_size", or_metrics),
            None if self.blocks.is_none() => untold("blocks", or_metrics),
            _ if self.max_num_seqs.is_none() => untold("max_num_seqs", ""),
            _ => Ok(()),
        }
    }

    fn check_ranks(&self) -> Result<(), (&'static str, String)> {
        let ranks = self.data_parallel_ranks;
        let err = |why| Err(("data_parallel_ranks", why));
        if !(1..=MOST_RANKS).contains(&ranks) {
            return err(format!("{ranks}, expected 1 to {MOST_RANKS}"));
        }
        if ranks == 1 {
            return Ok(());
        }
        if self.blocks.is_none() {
            let why = "missing, expected the blocks of one rank with data_parallel_ranks";
            return Err(("blocks", why.to_owned()));
        }
        let endpoints = [Some(&self.kv_events), self.kv_events_replay.as_ref()];
        let ports = endpoints.map(|endpoint| {
            let (host, port) = endpoint?.rsplit_once(':')?;
            Some((host, port.parse::<u32>().ok()?))
        });
        if let Some((_, port)) = ports.into_iter().flatten().find(|(_, port)| port + ranks > 65_536)
        {
            return err(format!("{ranks} with port {port}, expected a port for each rank"));
        }
        match ports {
            [Some((a, events)), Some((b, replay))] if a == b && events.abs_diff(replay) < ranks => {
                err(format!(
                    "{ranks} with ports {events} and {replay}, expected ports that are {ranks} apart: \
                     each rank has the next one"
                ))
            }
            _ => Ok(()),
        }
    }

    /// The workers behind the URL.
    pub(crate) fn ranks(&self) -> impl Iterator<Item = EngineRank> {
        let several = self.data_parallel_ranks > 1;
        (0..self.data_parallel_ranks)
            .map(move |rank| EngineRank { config: self.clone(), rank: several.then_some(rank) })
    }
}

/// The most bytes of an API key.
const MOST_KEY: usize = 1_024;

/// A cache of an engine with the requests that go to it: one worker.
#[derive(Clone, Debug)]
pub struct EngineRank {
    pub config: EngineConfig,
    /// None: the engine has no others.
    pub rank: Option<u32>,
}

impl EngineRank {
    /// Its URL among the workers, in one spelling.
    pub fn url(&self) -> Result<String, String> {
        Ok(self.numbered(&normal_url(&self.config.url)?))
    }

    /// A name of the engine with the number of the rank.
    pub fn numbered(&self, name: &str) -> String {
        match self.rank {
            Some(rank) if !name.is_empty() => format!("{name}#{rank}"),
            _ => name.to_owned(),
        }
    }

    /// Where the rank publishes: vLLM adds its number to the port.
    pub fn endpoint(&self, endpoint: &str) -> String {
        let port =
            endpoint.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match (port, self.rank) {
            (Some((host, port)), Some(rank)) => format!("{host}:{}", rank.saturating_add(port)),
            _ => endpoint.to_owned(),
        }
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
    api: Api,
    api_key_file: Option<PathBuf>,
    api_key_env: Option<String>,
    #[serde(default = "one")]
    data_parallel_ranks: u32,
    #[serde(default)]
    name: String,
    kv_events: String,
    kv_events_replay: Option<String>,
    #[serde(default)]
    kv_events_topic: String,
    metrics: Option<String>,
    model: Option<String>,
    block_size: Option<u32>,
    blocks: Option<u64>,
    max_num_seqs: Option<u32>,
    /// A profile by name, or its file.
    profile: PathBuf,
}

impl EngineEntry {
    /// Reads its profile and its key. A path is relative to `folder`.
    pub fn resolve(self, i: usize, folder: &Path) -> Result<EngineConfig, ConfigError> {
        let name = self.profile.to_str().filter(|name| !names::is_path(name));
        let profile = match name {
            Some(name) => profiles::load(name, Path::new("")),
            None => profiles::from_file(&folder.join(&self.profile)).map(|(profile, _)| profile),
        };
        let field = format!("worker[{i}].profile");
        let profile = profile.map_err(|why| ConfigError { field, why })?;
        let api_key = self.api_key(folder);
        let err = |(field, why)| ConfigError { field: format!("worker[{i}].{field}"), why };
        Ok(EngineConfig {
            api_key: api_key.map_err(err)?,
            url: self.url,
            api: self.api,
            data_parallel_ranks: self.data_parallel_ranks,
            name: self.name,
            kv_events: self.kv_events,
            kv_events_replay: self.kv_events_replay,
            kv_events_topic: self.kv_events_topic,
            metrics: self.metrics,
            model: self.model,
            block_size: self.block_size,
            blocks: self.blocks,
            max_num_seqs: self.max_num_seqs,
            profile,
        })
    }

    fn api_key(&self, folder: &Path) -> Result<Option<Secret>, (&'static str, String)> {
        match (&self.api_key_file, &self.api_key_env) {
            (None, None) => Ok(None),
            (Some(file), None) => {
                let text = bounded::text_of(&folder.join(file));
                text.map(|text| Some(Secret::new(text.trim()))).map_err(|why| ("api_key_file", why))
            }
            (None, Some(variable)) => {
                let key = std::env::var(variable);
                let wrong = |error| ("api_key_env", format!("{variable}: {error}"));
                key.map(|key| Some(Secret::new(key))).map_err(wrong)
            }
            (Some(_), Some(_)) => {
                let why = "given with api_key_env, expected one of the two".to_owned();
                Err(("api_key_file", why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn checked(given: &Value) -> String {
        let mut table = json!({"url": "http://h:1", "profile": "llama-70b-fp8-2xh100"});
        table.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let entry: EngineEntry = serde_json::from_value(table).unwrap();
        let resolved = entry.resolve(0, Path::new(""));
        let checked = resolved.and_then(|engine| check(&[engine], false));
        checked.map_or_else(|error| format!("{}: {}", error.field, error.why), |()| String::new())
    }

    #[test]
    fn what_an_engine_does_not_say_by_http_must_be_given() {
        let missing = "missing, expected it with api = \"openai\"";
        let metrics = "http://h:1/metrics";
        let cases = [
            (json!({}), format!("worker[0].block_size: {missing}, or `metrics`")),
            (json!({"block_size": 16}), format!("worker[0].blocks: {missing}, or `metrics`")),
            (json!({"metrics": metrics}), format!("worker[0].max_num_seqs: {missing}")),
            (json!({"metrics": metrics, "max_num_seqs": 9}), String::new()),
            (json!({"block_size": 16, "blocks": 9, "max_num_seqs": 9}), String::new()),
        ];
        for (mut given, why) in cases {
            let openai = json!({"api": "openai", "kv_events": "none"});
            given.as_object_mut().unwrap().extend(openai.as_object().unwrap().clone());
            assert_eq!(checked(&given), why);
        }
        assert_eq!(
            checked(&json!({"api": "openai", "kv_events": "auto"})),
            "worker[0].kv_events: \"auto\" with api = \"openai\", expected tcp://host:port or \"none\""
        );
    }

    #[test]
    fn a_key_is_read_from_its_file_and_goes_to_http_only() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "k-123\n").unwrap();
        std::fs::write(folder.path().join("two"), "k 123\n").unwrap();
        let with = |api: &str, file: &str| {
            let table = json!({"url": "http://h:1", "profile": "llama-70b-fp8-2xh100", "api": api,
                "kv_events": "none", "block_size": 16, "blocks": 9, "max_num_seqs": 9,
                "api_key_file": file});
            let entry: EngineEntry = serde_json::from_value(table).unwrap();
            let engine = entry.resolve(0, folder.path())?;
            check(std::slice::from_ref(&engine), false).map(|()| engine.api_key)
        };
        assert_eq!(with("openai", "key"), Ok(Some(Secret::new("k-123"))));
        let why = |api, file| with(api, file).unwrap_err().why;
        assert_eq!(why("openai", "two"), "expected 1 to 1024 characters of visible ASCII");
        assert_eq!(why("grpc", "key"), "given, expected api = \"openai\" with it");
        assert!(why("openai", "none").contains("none: No such file"), "the file is named");
    }

    #[test]
    fn each_rank_has_its_ports() {
        let none = |ranks: u32| json!({"kv_events": "none", "data_parallel_ranks": ranks});
        assert_eq!(
            checked(&none(4)),
            "worker[0].blocks: missing, expected the blocks of one rank with data_parallel_ranks"
        );
        assert_eq!(checked(&none(0)), "worker[0].data_parallel_ranks: 0, expected 1 to 256");
        let at = |events: u32, replay: u32| {
            let [events, replay] = [events, replay].map(|port| format!("tcp://h:{port}"));
            let ports = json!({"kv_events": events, "kv_events_replay": replay});
            let mut given = json!({"blocks": 9, "data_parallel_ranks": 4});
            given.as_object_mut().unwrap().extend(ports.as_object().unwrap().clone());
            checked(&given)
        };
        assert_eq!(at(5_557, 5_567), "");
        assert!(at(5_557, 5_558).contains("4 with ports 5557 and 5558, expected ports that are 4"));
        assert!(at(5_557, 65_533).contains("4 with port 65533, expected a port for each rank"));
    }

    #[test]
    fn each_rank_has_its_names() {
        let mut engine = EngineConfig::new("http://H:1", profile());
        let urls = |engine: &EngineConfig| -> Vec<String> {
            engine.ranks().map(|rank| rank.url().unwrap()).collect()
        };
        assert_eq!(urls(&engine), ["http://h:1"]);
        engine.data_parallel_ranks = 2;
        assert_eq!(urls(&engine), ["http://h:1#0", "http://h:1#1"]);
        let ranks: Vec<_> = engine.ranks().collect();
        assert_eq!(ranks[1].endpoint("tcp://h:5557"), "tcp://h:5558");
        assert_eq!((&*ranks[0].numbered("a"), &*ranks[0].numbered("")), ("a#0", ""));
    }

    fn profile() -> Profile {
        profiles::load("llama-70b-fp8-2xh100", Path::new("")).unwrap()
    }
}
