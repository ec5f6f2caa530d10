//! A simulated GPU worker on the wire: vLLM's gRPC in front, the warmpath engine behind.
//!
//! - [`config`]: what a worker is made of.
//! - `driver`: the engine on a thread of its own, woken when something is due.
//! - `feed`: what watchers are told.
//! - `inference`, `control`, `state`: the gRPC services.
//! - [`profiles`]: profiles, devices and models by name or file.
//! - `server`: listening, draining, stopping.
//! - `metrics`: vLLM's own metric names.

pub mod config;
mod control;
mod driver;
mod feed;
mod inference;
mod metrics;
pub mod profiles;
mod server;
mod state;

pub use config::WorkerConfig;
pub use metrics::install_metrics;
pub use server::{ServeError, serve};
