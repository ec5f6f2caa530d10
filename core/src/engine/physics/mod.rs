//! What a step costs on real hardware: three independent rows, a [`Device`], a [`Model`] and a
//! [`Deployment`], make a [`Profile`](crate::engine::profile::Profile).
//!
//! A step's time is a sum of kernels: matrix products, prefill attention, decode attention,
//! experts, all-reduces, and the small elementwise kernels between them. Each has a form that
//! follows from what it computes and moves, and a few constants that are fitted per device (and
//! precision) to measurements. `docs/fidelity.md` has the forms, the fits and their errors.
//!
//! Nothing is done per layer while an engine runs: layers of one shape are one term, and what
//! depends on the number of tokens alone is tabulated once.

mod build;
mod constants;
mod deployment;
mod device;
mod error;
mod hardware;
mod kernel;
mod memory;
mod model;
mod precision;
mod step;
mod table;

pub use constants::{
    AllReduce, Attention, Constants, Elementwise, Fitted, FrontEnd, Gemm, Host, Moe, PerKv,
};
pub use deployment::Deployment;
pub use device::{Device, Peaks, Purchase, Standing, Sustained};
pub use error::BuildError;
pub use hardware::Hardware;
pub use kernel::Kernel;
pub use memory::MemoryPlan;
pub use model::{Dense, Experts, Family, LatentAttention, Layers, Model, Recurrent};
pub use precision::{KvDtype, Precision};
pub use step::{Physics, Placement, Split};
pub use table::Calibrated;
