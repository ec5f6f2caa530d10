//! vLLM's gRPC, and warmpath's own services beside it.
//!
//! - `inference`, `control`: vLLM's calls.
//! - [`watch`]: the feed for routers. `cache`: emptying the cache.
//! - `kv_transfer`: KV for decode workers.
//! - `peer_fetch`: blocks for peers. [`blocks`]: what it has in common with a pool.
//! - `smg`: SMG's contract with an engine.
//! - `status`: refusals as gRPC statuses.
//! - [`listener`]: services on a listener, with health and reflection.

pub mod blocks;
mod cache;
mod control;
mod inference;
mod kv_transfer;
pub mod listener;
mod peer_fetch;
mod smg;
mod status;
pub mod watch;

pub use status::of_refusal;
