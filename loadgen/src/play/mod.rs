//! Playing a set-up: live, in virtual time, at many rates and seeds, and up to its capacity.

mod agreement;
mod all;
pub mod behind;
mod bounds;
#[cfg(test)]
mod calibration;
pub mod capacity;
mod client;
pub mod drive;
mod economics;
mod engines;
pub mod grid;
mod http;
pub mod identities;
pub mod interrupt;
pub mod kv_room;
pub mod live;
pub mod local_fleet;
mod log;
pub mod marks;
mod options;
#[cfg(test)]
mod outage;
pub mod parallel;
mod progress;
pub mod room;
mod simulate;
pub mod target;
pub mod targets;
pub mod validity;
pub mod variants;

pub use agreement::judge;
pub use all::{of_grid, of_runs};
pub use client::Address;
pub use options::{Cell, RunOptions};
pub use progress::Progress;
pub use simulate::{GivenUp, profiles, scope, simulate};
