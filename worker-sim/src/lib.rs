//! A simulated GPU worker on the wire: vLLM's gRPC in front, the warmpath engine behind.
//!
//! - [`config`]: what a worker is made of.
//! - `driver`: the engine on a thread of its own, woken when something is due.
//! - `turns`: how a heart keeps time on its thread.
//! - `remote`: what pools and peers have for a worker.
//! - `recent`: those among the others that are remembered.
//! - `handover`: prompts that one worker computes and another answers.
//! - `lend`: blocks that are sent to who asks for them.
//! - [`pool`]: the pool itself, a process of its own.
//! - `feed`: what watchers are told.
//! - `inference`, `control`, `state`, `lender`: the gRPC services.
//! - `server`: listening, draining, stopping.
//! - `metrics`: vLLM's own metric names.

pub mod config;
mod control;
mod driver;
mod feed;
mod handover;
mod inference;
mod lend;
mod lender;
mod metrics;
pub mod pool;
mod recent;
mod remote;
mod server;
mod state;
mod turns;

pub use config::WorkerConfig;
pub use metrics::install_metrics;
pub use server::{ServeError, serve};
/// At its old path until every crate names it at the new one.
pub use warmpath_launch::profiles;
