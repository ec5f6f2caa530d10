//! Where the router's knowledge of workers and pools comes from. Each kind of feed has a folder
//! here.
//!
//! - [`event`]: what a source says, in the core's terms, and the trait that a source implements.
//! - [`watch`]: warmpath's own feed, `WorkerState.Watch` and `Pool.Watch`.
//!
//! A real engine's event feed, or a feed made of predictions, is one more file: it implements
//! [`event::EventSource`] and is chosen in `fleet/connect.rs`.

pub mod event;
pub mod watch;
