//! The rules of llm-d's endpoint picker: `llm-d-router` ebab6879 of 2026-08-22, under `pkg/epp/framework/
//! plugins`. A profile is made of filters, which leave some workers, of scorers, which give each worker
//! a number in [0, 1], and of a picker: the largest weighted sum wins, and among equals chance
//! (`scheduling/picker/maxscore`).
//!
//! What llm-d knows of a worker:
//!
//! - Waiting requests and KV usage: read from the worker's metrics every 50 ms
//!   (`--refresh-metrics-interval`).
//! - Requests and tokens under way: counted by the router. A request counts with the prompt tokens that
//!   are believed not cached, until its first token (`dataproducer/inflightload`).
//! - Cached blocks: from what was sent (`dataproducer/approximateprefix`, `prefix.rs`) or from events
//!   (`dataproducer/preciseprefixcache`).

mod cold;
mod prefix;
mod scorers;

pub(in crate::routing::policy) mod no_hit_lru;
pub(in crate::routing::policy) mod precise;
pub(in crate::routing::policy) mod sticky;
pub(in crate::routing::policy) mod token_load;
pub(in crate::routing::policy) mod weighted;
