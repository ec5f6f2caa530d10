//! The figures of a run, by the formulas of `docs/metrics.md`. A [`Recorder`] follows each request
//! from send to end; [`Figures`] are computed from it.

mod answered;
mod energy;
mod figures;
mod owners;
mod recorder;
mod rows;
mod statistics;
mod tenants;
mod turns;

pub use answered::{Answered, Cached, Slo};
pub use energy::{Account, Cost, Rate, Rates};
pub use figures::{Figures, Throughput};
pub use owners::ByOwner;
pub use recorder::Recorder;
pub use rows::Row;
pub use statistics::Spread;
pub use tenants::TenantFigures;
