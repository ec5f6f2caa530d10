//! A world: its state, and the parts that play it.

mod attempts;
mod fetches;
mod kv_transfer;
mod outcome;
mod play;
mod split;
mod state;
mod workers;

pub use outcome::{Outcome, RunError};
pub use state::World;
