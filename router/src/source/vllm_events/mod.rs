//! The feed of an engine that only publishes vLLM's KV events, over ZMQ, or not even these.
//!
//! - `control`: what the engine says of itself, by `vllm.Control` or by HTTP.
//! - `engine`: what is known of the engine, from that and from its configuration.
//! - `follow`: its batches in order: gaps are replayed, a restart begins a new epoch.
//! - `feed`: the events of a task that follows.
//! - `guess`: an engine without events is believed to hold what it was sent.
//! - `load`: how busy the engine says it is.
//! - `blocks`: the engine's names of blocks, mapped to this router's names.

mod blocks;
mod control;
mod engine;
mod feed;
mod follow;
mod guess;
mod load;

pub use control::Control;
pub use engine::{EngineEvents, Salts};
pub use follow::DROPPED;
