//! What a world is made of.

use crate::devices::DeviceFleet;
use serde::{Deserialize, Serialize};
use warmpath_core::engine::profile::Profile;
use warmpath_core::pool::PoolSpec;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::time::Duration;

#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    pub workers: u32,
    pub profile: Profile,
    pub policy: PolicyConfig,
    /// What the workers share, where their profile has a way to it.
    pub pool: Option<PoolSpec>,
    /// What users have of their own; None: everything goes to the workers.
    pub devices: Option<DeviceFleet>,
    pub network: Network,
    /// For policies that draw lots; a workload has a seed of its own.
    pub seed: u64,
}

/// The way between client and router and between router and workers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Each hop, in microseconds of model time.
    pub hop_us: f64,
    /// How often a busy worker reports its load, in milliseconds of model time.
    pub report_every_ms: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self { hop_us: 100.0, report_every_ms: 1_000 }
    }
}

impl Network {
    pub fn hop(&self) -> Duration {
        Duration::from_nanos_f64(self.hop_us * 1e3)
    }

    pub fn report_every(&self) -> Duration {
        Duration::from_millis(self.report_every_ms)
    }
}
