//! warmpath's own feed over gRPC: a hello, a snapshot in chunks, then batches, load reports and
//! heartbeats.
//!
//! - `worker`, `pool`: who is watched, and what of the hello must match.
//! - `messages`: the stream, from the wire's terms into the core's.

mod messages;
mod pool;
mod worker;

pub use pool::PoolWatch;
pub use worker::WorkerWatch;
