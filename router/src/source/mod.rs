//! Where the router's knowledge of workers and pools comes from. Each kind of feed has a folder
//! here.
//!
//! - [`event`]: what a source says, in the core's terms, and the trait that a source implements.
//! - [`watch`]: warmpath's own feed, `WorkerState.Watch` and `Pool.Watch`.
//!
//! - [`vllm_events`]: vLLM's KV events over ZMQ, of an engine that knows no warmpath.
//!
//! A feed made of predictions is one more file: it implements
//! [`event::EventSource`] and is chosen in `fleet/connect.rs`.

pub mod event;
pub mod vllm_events;
pub mod watch;
