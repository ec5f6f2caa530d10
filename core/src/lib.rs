//! The pure state machines of warmpath. Nothing here has a clock, a thread, a file or a socket.
//! The caller passes in the time and the seed; the core answers with the actions it wants.
//!
//! - [`routing`]: the router. Each thing that happens to it is an `Input`, each thing it wants done
//!   is an `Action`. A record holds both, so a replay can repeat them.
//! - [`engine`]: a simulated GPU worker: continuous batching over a store of KV blocks.
//! - [`pool`]: a store of KV blocks that belongs to no worker.
//! - [`workload`]: which requests are sent, and when: drawn sessions and recorded traces.
//! - [`report`]: the figures of a run, by the formulas of `docs/metrics.md`.
//!
//! Shared types: [`time`], [`id`], [`hash`], [`rng`], [`block`] (block hashes), [`tokens`],
//! [`request`], [`sharing`] (which requests may share blocks), [`event`] (what a worker sends to a
//! router), [`runs`] (the prefix tree behind caches and indexes), [`link`] (bandwidth shared by
//! transfers).

#![warn(missing_docs)]

pub mod block;
pub mod engine;
pub mod event;
pub mod hash;
pub mod id;
pub mod link;
pub mod pool;
pub mod report;
pub mod request;
pub mod rng;
pub mod routing;
pub mod runs;
pub mod sharing;
pub mod time;
pub mod tokens;
pub mod workload;
