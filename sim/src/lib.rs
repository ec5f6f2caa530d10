//! The world in virtual time: one router, many engines and a workload, each the same heart that
//! runs on the wire, one clock and a network between them.
//!
//! [`run`] plays a [`Scenario`] to its end and says what happened. The checkers are always on: a
//! world that breaks an invariant panics with what it broke, it never reports a figure.

mod checkers;
mod devices;
mod faults;
mod handover;
mod mail;
mod placement;
mod scenario;
mod shared;
mod world;

pub use devices::{DeviceFleet, DeviceOutcome};
pub use faults::{FailedFetches, Fault, FaultError, FaultKind, check_faults};
pub use placement::{Classes, Stays};
pub use scenario::{FleetError, Group, Network, Scenario, check_fleet};
pub use world::{Outcome, RunError};

use warmpath_core::report::Recorder;
use warmpath_core::routing::record::Entry;
use warmpath_core::workload::Workload;

/// What a caller may want to hear while a world runs. All of it is optional.
#[derive(Default)]
pub struct Observers<'a> {
    /// Each input of the router with what came of it.
    pub record: Option<&'a mut dyn FnMut(&Entry)>,
    /// How many requests have ended, now and then.
    pub progress: Option<&'a mut dyn FnMut(u64)>,
    /// Asked now and then, with what the workers served so far, whether to break off.
    pub give_up: Option<&'a mut dyn FnMut(&Recorder) -> bool>,
    /// Whether the recorder keeps a row a request.
    pub rows: bool,
}

/// Plays a workload on a scenario's fleet until every request has ended.
pub fn run(
    scenario: &Scenario,
    workload: Workload,
    observers: Observers<'_>,
) -> Result<Outcome, RunError> {
    world::World::new(scenario, workload, observers)?.run()
}
