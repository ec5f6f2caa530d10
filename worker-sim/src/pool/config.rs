//! What a pool's process is made of.

use crate::config::{ConfigError, default_heartbeat_ms, default_model};
use warmpath_core::engine::profile::Profile;
use warmpath_core::pool::PoolSpec;
use warmpath_proto::pool::Agreement;
use warmpath_proto::tls::ListenerFiles;

#[derive(Clone, PartialEq, Debug)]
pub struct PoolConfig {
    /// Its name in logs, and the `pool` label of its metrics.
    pub name: String,
    /// The model of its blocks.
    pub model: String,
    /// The workers' profile: the size of a block, and each worker's link to the pool.
    pub profile: Profile,
    pub spec: PoolSpec,
    /// The certificate of its listener. None: plain text.
    pub tls: Option<ListenerFiles>,
    /// Model seconds per second of the wall clock. All processes of a run have the same.
    pub speedup: f64,
    /// The time between heartbeats, in milliseconds of the wall clock.
    pub heartbeat_ms: u64,
    /// The shortest time between two digests, in milliseconds of the wall clock.
    pub digest_interval_ms: u64,
    /// How long blocks that are being sent may leave when the pool shuts down, in milliseconds of
    /// the wall clock.
    pub drain_timeout_ms: u64,
}

impl PoolConfig {
    /// A pool with the default of each other field: model "simulated", speedup 1.
    pub fn new(profile: Profile, spec: PoolSpec) -> Self {
        Self {
            name: "pool".to_owned(),
            model: default_model(),
            profile,
            spec,
            tls: None,
            speedup: 1.0,
            heartbeat_ms: default_heartbeat_ms(),
            // To compare, a router reads all blocks that the pool holds.
            digest_interval_ms: 10_000,
            drain_timeout_ms: 2_000,
        }
    }

    /// Checks all fields. Call it before a pool is made. The error names the first bad field.
    pub fn check(&self) -> Result<(), ConfigError> {
        let err = |field, why| Err(ConfigError::Field { field, why });
        if self.model.is_empty() {
            return err("model", "empty, expected a name".to_owned());
        }
        if !(1e-3..=1e4).contains(&self.speedup) {
            return err("speedup", format!("{}, expected 0.001 to 10000", self.speedup));
        }
        for (field, span) in
            [("heartbeat_ms", self.heartbeat_ms), ("digest_interval_ms", self.digest_interval_ms)]
        {
            if !(1..=3_600_000).contains(&span) {
                return err(field, format!("{span}, expected 1 to 3600000 ms"));
            }
        }
        self.profile.check()?;
        if self.profile.pool.is_none() {
            let why = "it has no [pool], expected the workers' link to the pool";
            return err("profile", why.to_owned());
        }
        Ok(self.spec.check(self.profile.block_size)?)
    }

    /// Reads certificate and key. The error names the first file that cannot be used.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        self.tls.as_ref().map(ListenerFiles::load).transpose().map(drop).map_err(ConfigError::Tls)
    }

    pub fn agreement(&self) -> Agreement {
        let (model, block_size) = (self.model.clone(), self.profile.block_size);
        Agreement { model, block_size, speedup: self.speedup }
    }
}
