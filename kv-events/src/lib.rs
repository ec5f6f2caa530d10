//! vLLM's KV events: which blocks an engine stored and removed, as msgpack over ZMQ.
//!
//! - [`event`]: batches and events as data.
//! - [`codec`]: their msgpack, in both of vLLM's forms, both ways. `msgpack`: the parts of msgpack
//!   that it needs. `error`: why bytes are no batch.
//! - [`frames`]: messages of the two sockets: numbered batches, and the replay of missed ones.
//! - [`zmtp`]: ZeroMQ's wire protocol, as far as these sockets need it.
//! - [`publish`]: an engine's side. [`follow`]: a router's side.
//!
//! ZMTP is written here, and not taken from a ZMQ library: a router must know at once that a connection
//! broke, must bound what an engine can make it keep in memory, and runs on simulated sockets in tests.

pub mod codec;
mod error;
pub mod event;
pub mod follow;
pub mod frames;
mod msgpack;
pub mod publish;
pub mod zmtp;

pub use zmtp::{LinkError, endpoint_address};
