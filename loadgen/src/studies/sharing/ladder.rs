//! The rungs of the ladder: the same workload on fleets that share more and more, and on users' own
//! devices.

use crate::setup::Fleet;
use crate::setup::Setup;
use crate::setup::{DevicesSetup, StaysSetup};
use warmpath_core::sharing::{SharingRule, SharingScope};

/// A fleet to measure.
#[derive(Clone, Debug)]
pub struct Rung {
    pub name: &'static str,
    pub setup: Setup,
}

impl Rung {
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { name: self.name, setup: Setup { seed, ..self.setup.clone() } }
    }
}

/// Names of the rungs. A rung is there if the scenario has what it adds.
pub const DEVICES: &str = "users' devices";
pub const NONE: &str = "no reuse";
pub const SESSION: &str = "within a session";
pub const TENANT: &str = "within a tenant";
pub const PUBLIC: &str = "+ public prefixes";
pub const POOL: &str = "+ shared pool";
pub const PULL: &str = "+ peer pull";

/// All rungs, from no reuse to everything. `whole` has all parts.
pub fn rungs(whole: &Setup) -> Vec<Rung> {
    let mut rungs = Vec::new();
    if let Some(devices) = &whole.devices {
        let mut setup = whole.clone();
        setup.devices = Some(DevicesSetup { stays: StaysSetup::default(), ..devices.clone() });
        setup.pool = None;
        rungs.push(Rung { name: DEVICES, setup });
    }
    let mut parts =
        Parts { scope: SharingScope::None, public: false, tiers: 0, pool: false, peers: false };
    rungs.push(Rung { name: NONE, setup: parts.of(whole) });
    parts.scope = SharingScope::Session;
    rungs.push(Rung { name: SESSION, setup: parts.of(whole) });
    parts.scope = SharingScope::Tenant;
    rungs.push(Rung { name: TENANT, setup: parts.of(whole) });
    // With one tenant, the tenant's scope already holds the operator's prefixes.
    if whole.source.operators_tokens() > 0 && whole.source.tenants().count() > 1 {
        parts.public = true;
        rungs.push(Rung { name: PUBLIC, setup: parts.of(whole) });
    }
    let profile = whole.fleet.profile();
    for name in profile.tiers.iter().map(|tier| tier.name.as_str()) {
        parts.tiers += 1;
        let name = match name {
            "host" => "+ host memory",
            "disk" => "+ disk",
            _ => "+ a tier",
        };
        rungs.push(Rung { name, setup: parts.of(whole) });
    }
    if profile.pool.is_some() && whole.pool.is_some() {
        parts.pool = true;
        rungs.push(Rung { name: POOL, setup: parts.of(whole) });
    }
    if profile.peers.is_some() {
        parts.peers = true;
        rungs.push(Rung { name: PULL, setup: parts.of(whole) });
    }
    rungs
}

/// The parts that a rung keeps.
#[derive(Clone, Copy, Debug)]
struct Parts {
    scope: SharingScope,
    public: bool,
    /// Number of tiers, from the nearest.
    tiers: usize,
    pool: bool,
    peers: bool,
}

impl Parts {
    fn of(&self, whole: &Setup) -> Setup {
        let mut setup = whole.clone();
        let mut profile = whole.fleet.profile().clone();
        profile.tiers.truncate(self.tiers);
        profile.pool = profile.pool.filter(|_| self.pool);
        profile.peers = profile.peers.filter(|_| self.peers);
        setup.fleet = Fleet::alike(whole.fleet.workers(), profile);
        setup.pool = setup.pool.filter(|_| self.pool);
        setup.devices = None;
        let Self { scope, public: public_prefixes, .. } = *self;
        setup.sharing = SharingRule { scope, public_prefixes, groups: None };
        setup
    }
}
