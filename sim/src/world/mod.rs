//! A world: its state, and the parts that play it.

mod attempts;
mod feed;
mod fetches;
mod kv_transfer;
mod links;
mod memories;
mod outcome;
mod play;
mod split;
mod state;
mod workers;

pub use outcome::{Outcome, RunError};
pub use state::World;
