//! Everything that a world is made of, besides its workload.

use crate::faults::Fault;
use crate::fleet::{DeviceFleet, Group};
use serde::{Deserialize, Serialize};
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::id::WorkerId;
use warmpath_core::pool::PoolSpec;
use warmpath_core::routing::policy::PolicyConfig;
pub use warmpath_core::routing::siblings::Sharing;
use warmpath_core::routing::{AdmissionLimits, QueueLimits, Reliability, Siblings};
use warmpath_core::time::Duration;

/// What a world is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// The fleet. Ids of workers run through the groups in order.
    pub groups: Vec<Group>,
    pub policy: PolicyConfig,
    /// How many requests the router holds at most, where the policy holds any.
    pub queue: QueueLimits,
    /// The pool of the workers whose profile has a link to it.
    pub pool: Option<PoolSpec>,
    /// What goes wrong with the pool and with workers.
    pub faults: Vec<Fault>,
    /// What the router does about failing workers.
    pub reliability: Reliability,
    /// What the router takes on. None: everything that a worker has room for.
    pub admission: Option<AdmissionLimits>,
    /// The link of KV transfers, from prefill workers to decode workers.
    pub kv_transfer: Option<KvTransferLink>,
    /// The users' devices. None: all requests go to the workers.
    pub devices: Option<DeviceFleet>,
    pub network: Network,
    /// How many routers stand before the fleet, and what they know of each other.
    pub routers: Routing,
    /// For policies that choose at random. The workload has another seed.
    pub seed: u64,
}

impl Scenario {
    /// A fleet behind one router, and nothing else: no pool, no devices, nothing that goes wrong, and nothing done
    /// about it.
    pub fn plain(groups: Vec<Group>, policy: PolicyConfig) -> Self {
        Self {
            groups,
            policy,
            queue: QueueLimits::default(),
            pool: None,
            faults: Vec::new(),
            reliability: Reliability::default(),
            admission: None,
            kv_transfer: None,
            devices: None,
            network: Network::default(),
            routers: Routing::default(),
            seed: 0,
        }
    }

    pub fn workers(&self) -> u32 {
        self.groups.iter().map(|group| group.workers).sum()
    }

    /// How long KV is under way at least, from prefill worker to decode worker.
    pub fn kv_transfer_latency(&self) -> Duration {
        self.kv_transfer.map_or(Duration::ZERO, |link| link.latency())
    }

    /// Each worker with its group, in order.
    pub fn each_worker(&self) -> impl Iterator<Item = (WorkerId, &Group)> {
        let all = self.groups.iter();
        let groups = all.flat_map(|group| core::iter::repeat_n(group, group.workers as usize));
        groups.enumerate().map(|(i, group)| (WorkerId(i as u32), group))
    }
}

/// The network between client and router and between router and workers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Each hop, in microseconds of model time.
    pub hop_us: f64,
    /// How much later than a hop what a worker stored and dropped arrives at the router, in milliseconds of model
    /// time: batches of events, and a queue on their way.
    #[serde(skip_serializing_if = "is_zero")]
    pub event_delay_ms: f64,
    /// How often a busy worker reports its load, in milliseconds of model time.
    pub report_every_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// The routers before the fleet.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// How many. Requests are dealt to them at random.
    pub count: u32,
    /// How each learns what the others send.
    pub share: Sharing,
    /// How wrong they are about each worker's speed. They take it for up to `1 + speed_error` times as slow or as fast
    /// as it is; how much is drawn for each worker.
    #[serde(skip_serializing_if = "is_zero")]
    pub speed_error: f64,
}

impl Default for Routing {
    fn default() -> Self {
        Self { count: 1, share: Sharing::default(), speed_error: 0.0 }
    }
}

impl Routing {
    /// The most routers of a world.
    pub const MOST: u32 = 64;

    /// The largest [`Self::speed_error`].
    pub const MOST_SPEED_ERROR: f64 = 9.0;

    /// Whether there is one router, which has nothing to share.
    pub const fn is_one(&self) -> bool {
        self.count <= 1
    }

    /// Whether there is one router, which knows how fast its workers are.
    pub const fn is_plain(&self) -> bool {
        self.is_one() && self.speed_error == 0.0
    }

    /// What each router knows of the others. One router has none.
    pub fn siblings(&self) -> Siblings {
        if self.is_one() { Siblings::NONE } else { self.share.siblings() }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self { hop_us: 100.0, event_delay_ms: 0.0, report_every_ms: 1_000 }
    }
}

impl Network {
    /// An hour.
    pub const MOST_EVENT_DELAY_MS: f64 = 3_600_000.0;

    pub fn hop(&self) -> Duration {
        Duration::from_nanos_f64(self.hop_us * 1e3)
    }

    /// From an event at a worker to its arrival at the router.
    pub fn of_events(&self) -> Duration {
        self.hop() + Duration::from_nanos_f64(self.event_delay_ms * 1e6)
    }

    pub fn report_every(&self) -> Duration {
        Duration::from_millis(self.report_every_ms)
    }
}
