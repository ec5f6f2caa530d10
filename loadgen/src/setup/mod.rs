//! Scenario file and flags, read once into an immutable [`Setup`]. Nothing in this folder plays.

mod devices;
mod fleet;
mod names;
mod policies;
mod queue;
mod scenario;
#[expect(clippy::module_inception, reason = "the set-up is what the folder is for")]
mod setup;
mod source;
pub mod tenants;
mod variant;

pub use devices::{DevicesSetup, StaysSetup};
pub use fleet::Fleet;
pub use names::{SCENARIOS, WORKLOADS, load_profile};
pub use setup::Setup;
pub use source::{Course, Prepared, Source};
