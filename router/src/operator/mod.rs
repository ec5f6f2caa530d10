//! The admin service. What it changes goes through the core router like every other input, so the
//! record has it. What it reads changes nothing.
//!
//! - `service`: the calls.
//! - `describe`: a worker as an operator sees it.
//! - `explain`: why a request was sent where it was.

mod describe;
mod explain;
mod service;

pub use service::{Admin, serve};
