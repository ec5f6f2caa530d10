//! One simulated GPU worker. It batches requests step by step over its [`store`] of KV blocks, and
//! reports tokens, cache changes and transfers with their times.
//!
//! The engine has no clock. Its driver asks [`Engine::next_wake`] and calls [`Engine::step`] at
//! that instant. A step starts when the previous one was due, not when the driver called, so late
//! timers don't add up.
//!
//! While all running requests decode, many steps are computed at once: no prompt is computed, no
//! block is taken, no answer ends. Such an iteration has a closed form for its end. A request that
//! arrives during it ends it after the current step.
//!
//! `worker` has the engine's state and its loop. `kv_transfer` and `peer_fetch` exchange blocks
//! with other workers. `status` answers routers. Below them are the [`store`], the scheduler, and
//! the [`physics`] of a step's time.

mod front_end;
mod gauges;
mod heat;
mod iteration;
mod kv_transfer;
mod output;
mod peer_fetch;
mod peer_sends;
pub mod physics;
pub mod profile;
mod scheduler;
mod sequence;
mod status;
pub mod store;
pub mod tiers;
pub mod transfers;
mod worker;

pub use output::{EngineStats, FetchError, FetchKey, Output, SubmitError};
pub use peer_sends::PeerSendStats;
pub use worker::Engine;
