//! The time of an engine step on real hardware. A [`Device`], a [`Model`] and a [`Deployment`] make
//! a [`Profile`](crate::engine::profile::Profile).
//!
//! A step's time is a sum of kernels: matrix products, prefill attention, decode attention,
//! experts, all-reduces, and small elementwise kernels. The form of each follows from what it
//! computes and moves. Its few constants are fitted to measurements, for each device and precision.
//! `docs/fidelity.md` has the forms, the fits and their errors.
//!
//! No layer is visited while an engine runs: layers of one shape are one term, and what depends
//! only on the number of tokens is in a table.

mod balance;
mod constants;
mod deployment;
mod device;
mod error;
mod floor;
mod hardware;
mod host;
mod in_engine;
mod kernel;
mod memory;
mod model;
mod model_ref;
mod precision;
mod shape;
mod step;
mod table;

pub use constants::{AllReduce, Attention, Constants, Elementwise, Fitted, Gemm, Moe, PerKv};
pub use deployment::Deployment;
pub use device::{Device, Peaks, Purchase, Sustained, Validation};
pub use error::BuildError;
pub use floor::Floor;
pub use hardware::Hardware;
pub use host::{FrontEnd, FrontEndTimes, Host, Joining, Launch, Span};
pub use in_engine::{InEngine, InEngineOf};
pub use kernel::Kernel;
pub use memory::MemoryPlan;
pub use model::{Dense, Experts, Family, LatentAttention, Layers, Model, Recurrent};
pub use model_ref::ModelRef;
pub use precision::{KvDtype, Precision};
pub use shape::StepShape;
pub use step::{Physics, Placement, Split};
pub use table::Calibrated;
