//! A worker as a row of numbers.

mod error;
mod hierarchy;
mod row;
mod shape;
mod step_time;
mod tiers;

pub use error::ProfileError;
pub use row::Profile;
pub use shape::StepShape;
pub use step_time::{LinearStep, StepTime};
pub use tiers::{Fill, Loads, PeerLink, PoolLink, TierSpec};
