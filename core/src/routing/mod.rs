//! The router as a pure state machine. Everything that happens to it is an [`input::Input`],
//! everything it wants done is an [`input::Action`]. It keeps no clock and reads no socket, so a
//! recorded run replays exactly.

pub mod admission;
pub mod attempt;
pub mod candidate;
pub mod decision;
mod decode;
pub mod explain;
pub mod feed;
pub mod fleet;
pub mod health;
pub mod index;
pub mod input;
mod kinds;
pub mod observed;
pub mod pending;
mod pending_prompts;
mod per_worker;
pub mod policy;
pub mod polled;
pub mod queue;
pub mod record;
pub mod reliability;
pub mod retry;
pub mod rotation;
mod router;
pub mod siblings;
mod table;
pub mod view;
mod worker_state;

pub use admission::AdmissionLimits;
pub use queue::QueueLimits;
pub use reliability::Reliability;
pub use router::{Router, no_lookup};
pub use siblings::Siblings;
