//! The world in virtual time: one router or several, many engines and a workload, with one clock and a network
//! between them. Each of them is the same code that runs on the wire.
//!
//! [`run`] plays a [`Scenario`] to its end and says what happened. The checkers are always on: a
//! world that breaks an invariant panics and names the invariant. It never reports a figure.

mod attempts;
mod beliefs;
mod checkers;
mod devices;
mod faults;
mod feeds;
mod fleet;
mod lines;
mod messages;
mod observers;
mod placement;
mod pool;
mod reasons;
mod routers;
mod scenario;
mod wakes;
mod worker_faults;
mod world;

pub use attempts::AttemptCounts;
pub use devices::DeviceOutcome;
pub use faults::{FailedFetches, Fault, FaultError, FaultKind, check_faults};
pub use feeds::FeedCounts;
pub use fleet::{DeviceFleet, FleetError, Group, check_fleet};
pub use observers::{Memories, Observers};
pub use placement::{Classes, Stays};
pub use scenario::{Network, Routing, Scenario, Sharing};
pub use world::{Outcome, RunError};

use warmpath_core::workload::Workload;

/// Plays a workload on a scenario's fleet until every request has ended.
pub fn run(
    scenario: &Scenario,
    workload: Workload,
    observers: Observers<'_>,
) -> Result<Outcome, RunError> {
    world::World::new(scenario, workload, observers)?.run()
}

/// The same with a router that never opens a feed again after a gap. Its index goes wrong, and the checkers must
/// find that: a control for tests.
pub fn run_without_resync(
    scenario: &Scenario,
    workload: Workload,
    observers: Observers<'_>,
) -> Result<Outcome, RunError> {
    let mut world = world::World::new(scenario, workload, observers)?;
    if let Some(feeds) = &mut world.feeds {
        feeds.resyncs = false;
    }
    world.run()
}
