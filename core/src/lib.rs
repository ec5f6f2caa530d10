//! The pure hearts of warmpath. Nothing here has a clock, a thread, a file or a socket: the core
//! is told the time and the seed, and says what it wants done.
//!
//! - [`routing`]: the router. Everything that happens to it is an `Input`, everything it wants
//!   done is an `Action`; that pair is what a record holds and a replay repeats.
//! - [`engine`]: a simulated GPU worker: continuous batching over a store of KV blocks.
//! - [`workload`]: sessions and traces: what is sent, and when.
//! - [`report`]: what is measured, by the formulas of `docs/metrics.md`.
//!
//! Common to them: [`time`], [`id`], [`block`] (names of blocks), [`tokens`], [`request`],
//! [`sharing`] (who shares blocks with whom), [`event`] (all that a worker tells a router), [`runs`]
//! (the forest of block runs that caches and indexes share), [`link`] (bandwidth that transfers
//! share).

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
