//! A context-memory pool on the wire: blocks that belong to no worker, and the clock that times what it
//! sends.
//!
//! - `config`: what its process is made of.
//! - `driver`: the pool on a thread of its own, woken when something is due.
//! - `service`: `warmpath.v1.Pool`.
//! - `server`: listening, draining, stopping.

mod config;
mod driver;
mod server;
mod service;

pub use config::PoolConfig;
pub(crate) use driver::Held;
pub use server::serve;
