//! A worker's profile: its memory, its batching limits, its step time and its links.

mod build;
mod error;
mod hierarchy;
mod row;
mod step_time;

pub use crate::engine::physics::{Floor, StepShape};
pub use crate::engine::tiers::{Fill, Loads, PeerLink, Pieces, PoolLink, TierSpec};
pub use error::ProfileError;
pub use row::Profile;
pub use step_time::{LinearStep, StepTime};
