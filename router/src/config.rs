//! What a router is made of. As TOML, unknown fields are errors.

use crate::admission::AdmissionConfig;
pub use crate::config_error::ConfigError;
use crate::engines::{self, EngineConfig};
use crate::ext_proc_config::ExtProcConfig;
use crate::http_config::HttpConfig;
use crate::limits::ListenerConfig;
use crate::public::{self, PublicPrefix};
use crate::secret::Secret;
use crate::share::SiblingsConfig;
use crate::tenants::{self, TenantConfig};
pub(crate) use crate::urls::normal_url;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use warmpath_core::id::TenantId;
use warmpath_core::routing::attempt::TimeLimits;
use warmpath_core::routing::health::HealthLimits;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::retry::RetryLimits;
use warmpath_core::routing::{AdmissionLimits, QueueLimits, Reliability};
use warmpath_core::sharing::SharingScope;
use warmpath_core::time::Duration;
use warmpath_proto::scope::SharedBy;
use warmpath_proto::tls::{ListenerFiles, TlsError, UpstreamFiles};
use warmpath_proto::traces::OtlpConfig;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterConfig {
    /// URLs, `http://host:port`. A worker's number is its place in this list.
    #[serde(default)]
    pub workers: Vec<String>,
    /// URLs of names: each address of a name is a worker, and they may come and go.
    #[serde(default)]
    pub workers_at: Vec<String>,
    /// Workers that are real engines. Their numbers come after those of `workers`.
    #[serde(default)]
    pub worker: Vec<EngineConfig>,
    /// URLs of the pools that the workers share. A pool's number is its place in this list.
    #[serde(default)]
    pub pools: Vec<String>,
    pub policy: PolicyConfig,
    /// How much the router holds while the policy waits for room.
    #[serde(default)]
    pub queue: QueueConfig,
    /// What it does about workers that fail, hang or are slow. Its times are of the wall clock.
    #[serde(default)]
    pub reliability: ReliabilityConfig,
    /// What it takes on while the fleet has more to do than it can.
    #[serde(default)]
    pub admission: Part<AdmissionConfig>,
    /// What clients may do to the public listener.
    #[serde(default)]
    pub listener: ListenerConfig,
    /// The public listener for OpenAI's HTTP, if there is one.
    #[serde(default)]
    pub http: HttpConfig,
    /// The certificate of the public listeners. None: plain text.
    #[serde(default)]
    pub tls: Option<ListenerFiles>,
    /// The certificate of the admin listener, which must then ask for one of its clients.
    #[serde(default)]
    pub admin_tls: Option<ListenerFiles>,
    /// The other routers before the fleet.
    #[serde(default)]
    pub siblings: SiblingsConfig,
    /// How `https://` workers, pools and siblings are reached.
    #[serde(default)]
    pub upstream_tls: Option<UpstreamFiles>,
    /// Where Envoy asks this router for endpoints. None: nowhere.
    #[serde(default)]
    pub ext_proc: Option<ExtProcConfig>,
    /// Where traces go. None: nowhere.
    #[serde(default)]
    pub otlp: Option<OtlpConfig>,
    /// For policies that choose at random.
    #[serde(default)]
    pub seed: u64,
    /// Model seconds per second of the wall clock. Workers with another value are refused.
    #[serde(default = "default_speedup")]
    pub speedup: f64,
    /// Tokens per block. None: that of most workers. Workers with another value are refused.
    #[serde(default)]
    pub block_size: Option<u32>,
    /// None: that of most workers. Workers with another model are refused.
    #[serde(default)]
    pub model: Option<String>,
    /// The tenant of all requests if `tenants` is empty.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The tenants, by bearer token. Empty: no token is needed.
    #[serde(default)]
    pub tenants: Vec<TenantConfig>,
    /// The scope in which KV cache is shared.
    #[serde(default)]
    pub sharing: SharingScope,
    /// Prompt prefixes that all tenants share, in every scope.
    #[serde(default)]
    pub public_prefixes: Vec<PublicPrefix>,
    /// A key for block names. Routers with different secrets share no blocks on the same workers.
    /// All routers without a secret share the same key.
    #[serde(default, skip_serializing)]
    pub secret: Option<Secret>,
    /// Rules that are asked beside the policy, and not obeyed.
    #[serde(default, rename = "shadow")]
    pub shadows: Vec<PolicyConfig>,
    /// The file for a record of the run, for replay.
    #[serde(default)]
    pub record: Option<PathBuf>,
    /// The file for a trace of the traffic.
    #[serde(default)]
    pub capture: Option<PathBuf>,
    #[serde(default = "default_connections_per_worker")]
    pub connections_per_worker: usize,
    /// How long streams may finish when the router shuts down, in milliseconds of the wall clock.
    #[serde(default = "default_drain_timeout_ms")]
    pub drain_timeout_ms: u64,
    /// Decisions that a router with an admin service keeps, to explain them; 0: none.
    #[serde(default = "default_explain_last")]
    pub explain_last: usize,
}

const fn default_speedup() -> f64 {
    1.0
}

fn default_tenant() -> String {
    "default".to_owned()
}

const fn default_connections_per_worker() -> usize {
    2
}

const fn default_drain_timeout_ms() -> u64 {
    30_000
}

const fn default_explain_last() -> usize {
    256
}

impl RouterConfig {
    /// A router with the default of each field: seed 0, speedup 1, tenant "default", no record.
    pub fn new(workers: Vec<String>, policy: PolicyConfig) -> Self {
        Self {
            workers,
            workers_at: Vec::new(),
            worker: Vec::new(),
            pools: Vec::new(),
            policy,
            queue: QueueConfig::default(),
            reliability: ReliabilityConfig::default(),
            admission: Part::default(),
            listener: ListenerConfig::default(),
            http: HttpConfig::default(),
            tls: None,
            admin_tls: None,
            siblings: SiblingsConfig::default(),
            upstream_tls: None,
            ext_proc: None,
            otlp: None,
            seed: 0,
            speedup: default_speedup(),
            block_size: None,
            model: None,
            tenant: default_tenant(),
            tenants: Vec::new(),
            sharing: SharingScope::default(),
            public_prefixes: Vec::new(),
            secret: None,
            shadows: Vec::new(),
            record: None,
            capture: None,
            connections_per_worker: default_connections_per_worker(),
            drain_timeout_ms: default_drain_timeout_ms(),
            explain_last: default_explain_last(),
        }
    }

    /// The URLs of all workers, in the order of their numbers. Those of the engines' ranks have their numbers.
    pub(crate) fn worker_urls(&self) -> Vec<String> {
        let ranks = self.worker.iter().flat_map(EngineConfig::ranks);
        let engines = ranks.map(|rank| rank.numbered(&rank.config.url));
        self.workers.iter().cloned().chain(engines).collect()
    }

    /// The salt that workers get for every request that names none, if all get the same.
    pub(crate) fn only_salt(&self) -> Option<String> {
        let tenant = match self.tenants.as_slice() {
            [] => Some((&self.tenant, None)),
            [one] => Some((&one.name, one.group.as_ref())),
            _ => None,
        };
        let by = match (self.sharing, tenant) {
            (SharingScope::All, _) => SharedBy::All,
            (SharingScope::Group, Some((_, Some(group)))) => SharedBy::Group(group),
            (SharingScope::Tenant | SharingScope::Group, Some((name, _))) => SharedBy::Tenant(name),
            _ => return None,
        };
        Some(by.salt(self.secret(), ""))
    }

    pub(crate) fn secret(&self) -> &str {
        self.secret.as_ref().map_or("", Secret::reveal)
    }

    /// The limits as the core router takes them. A fleet that is sped up is as late as its machine makes
    /// it, by the wall clock.
    pub(crate) fn reliability_in_model_time(&self) -> Reliability {
        self.reliability.limits().sped_up(self.speedup)
    }

    /// What the router takes on, as the core router knows it. None: everything.
    pub(crate) fn admission_limits(&self) -> Option<AdmissionLimits> {
        let number = |name: &str| self.tenants.iter().position(|tenant| tenant.name == name);
        let tenant = |name: &str| number(name).map(|number| TenantId(number as u32));
        Some(self.admission.limits()?.limits(tenant))
    }

    /// Reads the certificates and keys. The error names the first file that cannot be used.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let err = |table: &'static str| {
            move |TlsError { field, why }| ConfigError { field: format!("{table}.{field}"), why }
        };
        let siblings = ("siblings.tls", &self.siblings.tls);
        for (table, files) in [("tls", &self.tls), ("admin_tls", &self.admin_tls), siblings] {
            files.as_ref().map(|files| files.load()).transpose().map_err(err(table))?;
        }
        let upstream = self.upstream_tls.as_ref().map(|files| files.load());
        upstream.transpose().map(drop).map_err(err("upstream_tls"))
    }

    /// Checks all fields. Call it before a router is made. The error names the first bad field.
    pub fn check(&self) -> Result<(), ConfigError> {
        let err = |field: &str, why| Err(ConfigError { field: field.to_owned(), why });
        if self.workers.is_empty() && self.workers_at.is_empty() && self.worker.is_empty() {
            return err("workers", "none, expected at least 1".to_owned());
        }
        engines::check(&self.worker, !self.public_prefixes.is_empty())?;
        if self.ext_proc.is_some()
            && self.worker.iter().any(|engine| engine.data_parallel_ranks > 1)
        {
            let why = "given with data_parallel_ranks, expected one rank: Envoy cannot be told to name one";
            return err("ext_proc", why.to_owned());
        }
        let engines = self.worker.iter().map(|engine| &engine.url);
        let workers: Vec<String> = self.workers.iter().chain(engines).cloned().collect();
        let (names, siblings) =
            (("workers_at", &self.workers_at), ("siblings.urls", &self.siblings.urls));
        for (field, urls) in [("workers", &workers), names, ("pools", &self.pools), siblings] {
            let mut known = BTreeSet::new();
            for (i, url) in urls.iter().enumerate() {
                let field = format!("{field}[{i}]");
                match normal_url(url) {
                    Err(why) => return err(&field, why),
                    Ok(normal) if normal.starts_with("https:") && self.upstream_tls.is_none() => {
                        let why = format!("'{url}' is https, but there is no [upstream_tls]");
                        return err(&field, format!("{why}, expected its `ca`"));
                    }
                    Ok(normal) if known.insert(normal.clone()) => {}
                    Ok(_) => {
                        let why = format!("'{url}' is used twice, expected different URLs");
                        return err(&field, why);
                    }
                }
            }
        }
        if let Err((field, why)) = self.otlp.as_ref().map_or(Ok(()), OtlpConfig::check) {
            return err(field, why);
        }
        tenants::check(&self.tenants)?;
        public::check(&self.public_prefixes)?;
        if !self.tenants.is_empty() && self.secret().is_empty() {
            let why = "none, expected one with [[tenants]]: it keeps their blocks apart";
            return err("secret", why.to_owned());
        }
        if !(1e-3..=1e4).contains(&self.speedup) {
            return err("speedup", format!("{}, expected 0.001 to 10000", self.speedup));
        }
        self.queue.check()?;
        self.reliability.check()?;
        if let Some(admission) = self.admission.limits() {
            let names: Vec<&str> = self.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
            admission.check(&names)?;
        }
        self.listener.check()?;
        self.siblings.check()?;
        let names = self.tenants.iter().map(|tenant| tenant.name.as_str());
        let alone = self.tenants.is_empty().then_some(self.tenant.as_str());
        self.http.check(&names.chain(alone).collect::<Vec<_>>())?;
        if self.admin_tls.as_ref().is_some_and(|files| files.client_ca.is_none()) {
            let why = "missing, expected the CA of the operators' certificates";
            return err("admin_tls.client_ca", why.to_owned());
        }
        if let Some(size) = self.block_size.filter(|size| !(1..=65_536).contains(size)) {
            return err("block_size", format!("{size}, expected 1 to 65536 tokens"));
        }
        if !(1..=64).contains(&self.connections_per_worker) {
            let why = format!("{}, expected 1 to 64", self.connections_per_worker);
            return err("connections_per_worker", why);
        }
        if self.explain_last > 65_536 {
            return err("explain_last", format!("{}, expected up to 65536", self.explain_last));
        }
        Ok(())
    }
}

/// The bounds of the queue of held requests.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Requests that are held at the same time; 0: none is ever held.
    pub requests: u32,
    /// Their prompt tokens.
    pub prompt_tokens: u64,
    /// The longest wait of one request, in model seconds.
    pub longest_wait_s: f64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueLimits::default().into()
    }
}

impl From<QueueLimits> for QueueConfig {
    fn from(QueueLimits { requests, prompt_tokens, longest_wait }: QueueLimits) -> Self {
        // Division, so that 60 s reads as 60 and not as the next number to it.
        let longest_wait_s = longest_wait.as_nanos() as f64 / 1e9;
        Self { requests, prompt_tokens, longest_wait_s }
    }
}

impl QueueConfig {
    /// The bounds as the core router takes them.
    pub fn limits(&self) -> QueueLimits {
        let longest_wait = Duration::from_secs_f64(self.longest_wait_s);
        QueueLimits { requests: self.requests, prompt_tokens: self.prompt_tokens, longest_wait }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let err = |field: &str, why| Err(ConfigError { field: format!("queue.{field}"), why });
        if self.requests > 1_000_000 {
            return err("requests", format!("{}, expected up to 1000000", self.requests));
        }
        if !(1e-3..=86_400.0).contains(&self.longest_wait_s) {
            let why = format!("{}, expected 0.001 to 86400 s", self.longest_wait_s);
            return err("longest_wait_s", why);
        }
        Ok(())
    }
}

/// What the router does about failing workers: all of it, unless a part is `false`.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReliabilityConfig {
    /// When a worker leaves rotation.
    pub health: Part<HealthLimits>,
    /// How often requests are tried again.
    pub retry: Part<RetryLimits>,
    /// How long an attempt may take.
    pub time: Part<TimeLimits>,
}

/// A part of a router that can be switched off. In a file: `false`, or a table of limits.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected true, false or a table of limits")]
pub enum Part<T> {
    /// `true` has the default limits.
    On(bool),
    With(T),
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self::On(true)
    }
}

impl<T: Clone + Default> Part<T> {
    /// None: it is off.
    fn limits(&self) -> Option<T> {
        match self {
            Self::On(on) => on.then(T::default),
            Self::With(limits) => Some(limits.clone()),
        }
    }
}

impl ReliabilityConfig {
    /// Nothing of it.
    pub const OFF: Self =
        Self { health: Part::On(false), retry: Part::On(false), time: Part::On(false) };

    /// The limits as the core router takes them.
    pub fn limits(&self) -> Reliability {
        Reliability {
            health: self.health.limits(),
            retry: self.retry.limits(),
            time: self.time.limits(),
        }
    }

    /// Whether answers that broke off go on elsewhere.
    pub(crate) fn resumes(&self) -> bool {
        self.retry.limits().is_some_and(|limits| limits.resumes > 0)
    }

    /// Whether the limits make sense. The error names the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.limits().check().map_err(|line| {
            let (field, why) = line.split_once(": ").unwrap_or(("", &line));
            ConfigError { field: format!("reliability.{field}"), why: why.to_owned() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling() {
        for url in ["http://localhost:7000", "http://LOCALHOST:7000/", "http://localhost:7000/"] {
            assert_eq!(normal_url(url), Ok("http://localhost:7000".to_owned()), "{url}");
        }
        assert_eq!(normal_url("https://H:1/"), Ok("https://h:1".to_owned()));
        assert_eq!(normal_url("http://[::1]:80"), Ok("http://[::1]:80".to_owned()));
        for url in [
            "localhost:7000",
            "http://localhost",
            "http://h:1/x",
            "http://h:1?a",
            "ftp://h:1",
            "http://a@h:1",
            "http://h:0",
            "http://h:x",
            "http://:1",
            "",
        ] {
            let why = format!("'{url}', expected http://host:port or https://host:port");
            assert_eq!(normal_url(url), Err(why));
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let mut config = RouterConfig::new(vec!["http://h:1".to_owned()], PolicyConfig::KvAware);
        config.secret = Some(Secret::new("a-secret"));
        config.tenants = vec![TenantConfig {
            name: "a".to_owned(),
            token: Secret::new("a-secret-token-of-a"),
            group: None,
        }];
        assert_eq!(config.check(), Ok(()));
        let shown = format!("{config:?} {config:#?}") + &serde_json::to_string(&config).unwrap();
        assert!(!shown.contains("a-secret"), "{shown}");
        assert!(shown.contains("secret: Some((hidden))"), "that there is one may be seen: {shown}");
    }
}
