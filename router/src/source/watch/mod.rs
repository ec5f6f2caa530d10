//! warmpath's own feed over gRPC: a hello, a snapshot in chunks, then batches, load reports and
//! heartbeats.
//!
//! - `worker`, `pool`: the two services, and what of their hello must match.
//! - `messages`: the stream, from the wire's terms into the core's.

mod messages;
mod pool;
mod worker;

pub use pool::PoolWatch;
pub use worker::WorkerWatch;
