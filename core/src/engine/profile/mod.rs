//! A worker's profile: its memory, its batching limits, its step time and its links.

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
