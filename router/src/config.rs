//! What a router is made of. A file of these fields is TOML; unknown fields are errors.

pub use crate::config_error::ConfigError;
use crate::public::{self, PublicPrefix};
use crate::secret::Secret;
use crate::tenants::{self, TenantConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::SharingScope;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterConfig {
    /// `http://host:port` each. A worker's number is its place here.
    pub workers: Vec<String>,
    /// `http://host:port` each: the pools that the workers share. A pool's number is its place
    /// here.
    #[serde(default)]
    pub pools: Vec<String>,
    pub policy: PolicyConfig,
    /// Rules that draw lots draw others with another seed.
    #[serde(default)]
    pub seed: u64,
    /// Model seconds in a second of the wall clock; workers with another are refused.
    #[serde(default = "default_speedup")]
    pub speedup: f64,
    /// Tokens; None: that of the first worker that joins. Workers with another are refused.
    #[serde(default)]
    pub block_size: Option<u32>,
    /// None: that of the first worker that joins. Workers with another are refused.
    #[serde(default)]
    pub model: Option<String>,
    /// Whose requests these are where `tenants` has nobody: then all clients are one tenant.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// Who may send requests, by bearer token. None: anybody, without one.
    #[serde(default)]
    pub tenants: Vec<TenantConfig>,
    /// Within what KV cache is shared.
    #[serde(default)]
    pub sharing: SharingScope,
    /// What all tenants share whatever the scope.
    #[serde(default)]
    pub public_prefixes: Vec<PublicPrefix>,
    /// Parts this router's blocks from those of routers with another secret on the same workers.
    /// None is a secret too: the one that every router without a secret has.
    #[serde(default, skip_serializing)]
    pub secret: Option<Secret>,
    /// Where to write the run down, for replay.
    #[serde(default)]
    pub record: Option<PathBuf>,
    #[serde(default = "default_connections_per_worker")]
    pub connections_per_worker: usize,
    /// How long a router that shuts down lets streams finish, in milliseconds of the wall clock.
    #[serde(default = "default_drain_timeout_ms")]
    pub drain_timeout_ms: u64,
    /// How many decisions a router with an admin service keeps to explain them; 0 for none. Without
    /// the service none are kept.
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
    /// A router with every default: seed 0, speedup 1, tenant "default", no record.
    pub fn new(workers: Vec<String>, policy: PolicyConfig) -> Self {
        Self {
            workers,
            pools: Vec::new(),
            policy,
            seed: 0,
            speedup: default_speedup(),
            block_size: None,
            model: None,
            tenant: default_tenant(),
            tenants: Vec::new(),
            sharing: SharingScope::default(),
            public_prefixes: Vec::new(),
            secret: None,
            record: None,
            connections_per_worker: default_connections_per_worker(),
            drain_timeout_ms: default_drain_timeout_ms(),
            explain_last: default_explain_last(),
        }
    }

    pub(crate) fn secret(&self) -> &str {
        self.secret.as_ref().map_or("", Secret::reveal)
    }

    /// Call before anything is built from it.
    pub fn check(&self) -> Result<(), ConfigError> {
        let err = |field: &str, why| Err(ConfigError { field: field.to_owned(), why });
        if self.workers.is_empty() {
            return err("workers", "none, expected at least 1".to_owned());
        }
        for (field, urls) in [("workers", &self.workers), ("pools", &self.pools)] {
            for (i, url) in urls.iter().enumerate() {
                if urls[..i].contains(url) {
                    return err(&format!("{field}[{i}]"), format!("'{url}' stands there twice"));
                }
                if let Err(why) = check_url(url) {
                    return err(&format!("{field}[{i}]"), why);
                }
            }
        }
        tenants::check(&self.tenants)?;
        public::check(&self.public_prefixes)?;
        if !self.tenants.is_empty() && self.secret().is_empty() {
            let why = "none, expected one where there are tenants: it keeps their blocks apart";
            return err("secret", why.to_owned());
        }
        if !(1e-3..=1e4).contains(&self.speedup) {
            return err("speedup", format!("{}, expected 0.001 to 10000", self.speedup));
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

/// Whether a worker or a pool may be there.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    match url.starts_with("http://") {
        true => Ok(()),
        false => Err(format!("'{url}', expected http://host:port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
