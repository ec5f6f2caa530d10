//! A context-memory pool as a process: blocks that belong to no worker, and the clock that times
//! their sending.
//!
//! - [`cli`]: the command line and its file. `config`: what its process is made of.
//! - `command`, `driver`: the pool on a thread of its own.
//! - `front`: what workers and routers speak with it.
//! - `server`: its parts put together, listening, draining, stopping.

pub mod cli;
mod command;
mod config;
mod driver;
mod front;
mod server;

pub use config::PoolConfig;
pub use server::{serve, serve_in};
