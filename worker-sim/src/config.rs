//! What a worker is made of. As TOML, unknown fields are errors.

use crate::http_config::HttpConfig;
use crate::kv_events::KvEventsConfig;
use serde::{Deserialize, Serialize};
use warmpath_core::engine::profile::{Profile, ProfileError};
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::event::Role;
use warmpath_core::pool::PoolError;
use warmpath_core::routing::feed::{DIGEST_MS, HEARTBEAT_MS};
use warmpath_proto::pool::Agreement;
use warmpath_proto::tls::{ListenerFiles, TlsError, UpstreamFiles};
use warmpath_proto::traces::OtlpConfig;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// Its name in logs, and the `engine` label of its metrics.
    #[serde(default = "default_name")]
    pub name: String,
    /// The model it reports. A request may leave its model empty.
    #[serde(default = "default_model")]
    pub model: String,
    pub profile: Profile,
    /// The URL of the pool that it shares with other workers, `http://host:port`. Needed if the
    /// profile has a `[pool]`, and not allowed otherwise.
    #[serde(default)]
    pub pool: Option<String>,
    /// Its listener for OpenAI's HTTP, if it has one.
    #[serde(default)]
    pub http: HttpConfig,
    /// The certificate of its listeners. None: plain text.
    #[serde(default)]
    pub tls: Option<ListenerFiles>,
    /// How `https://` pools, peers and prefill workers are reached. None: with the files of `tls`, if
    /// that has a CA.
    #[serde(default)]
    pub upstream_tls: Option<UpstreamFiles>,
    /// Whether it prefills, decodes, or does both.
    #[serde(default)]
    pub role: Role,
    /// The link for KV transfers between prefill and decode workers.
    #[serde(default)]
    pub kv_transfer: Option<KvTransferLink>,
    /// Where it publishes vLLM's KV events. None: nowhere.
    #[serde(default)]
    pub kv_events: Option<KvEventsConfig>,
    /// Where traces go. None: nowhere.
    #[serde(default)]
    pub otlp: Option<OtlpConfig>,
    /// Model seconds per second of the wall clock. All processes of a run have the same.
    #[serde(default = "default_speedup")]
    pub speedup: f64,
    /// A stream gets its first token at once, and then at most one message in this time, in
    /// milliseconds of the wall clock.
    #[serde(default = "default_flush_ms")]
    pub flush_ms: u64,
    /// The longest time from a change to its load report, in milliseconds of model time.
    #[serde(default = "default_report_interval_ms")]
    pub report_interval_ms: u64,
    /// The time between heartbeats, in milliseconds of the wall clock.
    #[serde(default = "default_heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// The shortest time between two digests, in milliseconds of the wall clock. A digest reads the
    /// whole store.
    #[serde(default = "default_digest_interval_ms")]
    pub digest_interval_ms: u64,
    /// How long requests may finish when the worker shuts down, in milliseconds of the wall clock.
    #[serde(default = "default_drain_timeout_ms")]
    pub drain_timeout_ms: u64,
}

fn default_name() -> String {
    "worker".to_owned()
}

pub(crate) fn default_model() -> String {
    "simulated".to_owned()
}

const fn default_speedup() -> f64 {
    1.0
}

const fn default_flush_ms() -> u64 {
    20
}

const fn default_report_interval_ms() -> u64 {
    250
}

pub(crate) const fn default_heartbeat_ms() -> u64 {
    HEARTBEAT_MS
}

const fn default_digest_interval_ms() -> u64 {
    DIGEST_MS
}

const fn default_drain_timeout_ms() -> u64 {
    30_000
}

impl WorkerConfig {
    /// A worker with the default of each field: model "simulated", speedup 1, tokens flushed each
    /// 20 ms.
    pub fn new(profile: Profile) -> Self {
        Self {
            name: default_name(),
            model: default_model(),
            profile,
            pool: None,
            http: HttpConfig::default(),
            tls: None,
            upstream_tls: None,
            role: Role::Both,
            kv_transfer: None,
            kv_events: None,
            otlp: None,
            speedup: default_speedup(),
            flush_ms: default_flush_ms(),
            report_interval_ms: default_report_interval_ms(),
            heartbeat_ms: default_heartbeat_ms(),
            digest_interval_ms: default_digest_interval_ms(),
            drain_timeout_ms: default_drain_timeout_ms(),
        }
    }

    /// The name that its operator gave it. Empty: it has the default, as others have.
    pub fn given_name(&self) -> &str {
        if self.name == default_name() { "" } else { &self.name }
    }

    /// Checks all fields. Call it before a worker is made. The error names the first bad field.
    pub fn check(&self) -> Result<(), ConfigError> {
        let err = |field, why| Err(ConfigError::Field { field, why });
        if self.name.is_empty() || self.name.len() > 64 || self.name.contains(char::is_control) {
            return err("name", format!("{:?}, expected 1 to 64 bytes in one line", self.name));
        }
        if self.model.is_empty() {
            return err("model", "empty, expected a name".to_owned());
        }
        if !(1e-3..=1e4).contains(&self.speedup) {
            return err("speedup", format!("{}, expected 0.001 to 10000", self.speedup));
        }
        let spans = [
            ("flush_ms", self.flush_ms),
            ("report_interval_ms", self.report_interval_ms),
            ("heartbeat_ms", self.heartbeat_ms),
            ("digest_interval_ms", self.digest_interval_ms),
        ];
        for (field, span) in spans {
            if !(1..=3_600_000).contains(&span) {
                return err(field, format!("{span}, expected 1 to 3600000 ms"));
            }
        }
        if let Err(why) = self.http.check() {
            return err("http.session_headers", why);
        }
        if let Err((field, why)) = self.otlp.as_ref().map_or(Ok(()), OtlpConfig::check) {
            return err(field, why);
        }
        self.profile.check()?;
        if let Some(Err((field, why))) = self.kv_events.as_ref().map(KvEventsConfig::addresses) {
            return err(field, why);
        }
        if let Some(link) = &self.kv_transfer {
            link.check().map_err(ConfigError::KvTransfer)?;
        }
        if !self.role.is_both() && self.kv_transfer.is_none() {
            let why = format!(
                "{}, but there is no [kv_transfer], expected the link for KV transfers",
                self.role.name()
            );
            return err("role", why);
        }
        match (&self.pool, self.profile.pool) {
            (None, Some(_)) => {
                let why = "missing, expected http://host:port because the profile has a [pool]";
                err("pool", why.to_owned())
            }
            (Some(_), None) => {
                let why = "the profile has no [pool], expected a profile with its link to the pool";
                err("pool", why.to_owned())
            }
            (Some(url), Some(_)) if url.starts_with("https://") => match self.upstream() {
                Some(_) => Ok(()),
                None => {
                    let why = "is https, but there is no [upstream_tls], expected its `ca`";
                    err("pool", format!("'{url}' {why}"))
                }
            },
            (Some(url), Some(_)) if !url.starts_with("http://") => {
                err("pool", format!("'{url}', expected http://host:port or https://host:port"))
            }
            _ => Ok(()),
        }
    }

    /// How others are reached with TLS. A fleet with one CA has it in `tls`.
    pub fn upstream(&self) -> Option<UpstreamFiles> {
        let from_tls = |files: &ListenerFiles| {
            let (cert, key) = (Some(files.cert.clone()), Some(files.key.clone()));
            Some(UpstreamFiles { ca: files.client_ca.clone()?, cert, key, server_name: None })
        };
        self.upstream_tls.clone().or_else(|| self.tls.as_ref().and_then(from_tls))
    }

    /// Reads the certificates and keys. The error names the first file that cannot be used.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        self.tls.as_ref().map(ListenerFiles::load).transpose().map_err(ConfigError::Tls)?;
        let upstream = self.upstream().map(|files| files.load());
        upstream.transpose().map(drop).map_err(ConfigError::UpstreamTls)
    }

    pub fn agreement(&self) -> Agreement {
        let (model, block_size) = (self.model.clone(), self.profile.block_size);
        Agreement { model, block_size, speedup: self.speedup }
    }
}

impl ConfigError {
    /// The field's path, and what is wrong with it.
    pub fn parts(&self) -> (String, &str) {
        match self {
            Self::Field { field, why } => ((*field).to_owned(), why),
            Self::Profile(error) => (format!("profile.{}", error.field), &error.why),
            Self::Pool(error) => (format!("pool.{}", error.field), &error.why),
            Self::Tls(error) => (format!("tls.{}", error.field), &error.why),
            Self::UpstreamTls(error) => (format!("upstream_tls.{}", error.field), &error.why),
            Self::KvTransfer(error) => (error.field.to_owned(), &error.why),
        }
    }
}

/// A field of the configuration that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{field}: {why}")]
    Field { field: &'static str, why: String },
    #[error("profile.{0}")]
    Profile(#[from] ProfileError),
    #[error("{0}")]
    KvTransfer(ProfileError),
    #[error("pool.{0}")]
    Pool(#[from] PoolError),
    #[error("tls.{0}")]
    Tls(TlsError),
    #[error("upstream_tls.{0}")]
    UpstreamTls(TlsError),
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use warmpath_core::engine::profile::{LinearStep, StepTime};
    use warmpath_core::engine::store::eviction::EvictionRule;

    /// A small worker for unit tests.
    pub fn profile() -> Profile {
        Profile {
            name: "test".to_owned(),
            validated: false,
            block_size: 16,
            hbm_tokens: None,
            kv_bytes_per_token: 1_000,
            max_num_seqs: 8,
            max_num_batched_tokens: 512,
            step: StepTime::Linear(LinearStep {
                base_ns: 1e6,
                weights_ns: 1e6,
                ns_per_token: 1e3,
                ns_per_pair: 0.0,
                ns_per_context_token: 0.0,
                ns_per_seq: 0.0,
            }),
            eviction: EvictionRule::Lru,
            tiers: Vec::new(),
            pool: None,
            peers: None,
        }
    }

    #[test]
    fn an_unusable_field_is_named() {
        let check = |change: fn(&mut WorkerConfig)| {
            let mut config = WorkerConfig::new(profile());
            change(&mut config);
            config.check().map_err(|error| error.to_string())
        };
        assert_eq!(check(|_| ()), Ok(()));
        let error = check(|config| config.speedup = f64::NAN).unwrap_err();
        assert_eq!(error, "speedup: NaN, expected 0.001 to 10000");
        let error = check(|config| config.flush_ms = 0).unwrap_err();
        assert_eq!(error, "flush_ms: 0, expected 1 to 3600000 ms");
        let error = check(|config| config.role = Role::Decode).unwrap_err();
        assert!(error.starts_with("role: decode, but there is no [kv_transfer]"), "{error}");
        let error = check(|config| config.profile.block_size = 0).unwrap_err();
        assert_eq!(error, "profile.block_size: 0, expected 1 to 65536 tokens");
    }
}
