//! The engine's heart: one simulated GPU worker. It takes requests, batches them step by step over
//! its [`store`], and says what came out when.
//!
//! The engine has no clock. Whoever drives it asks [`Engine::next_wake`] and calls
//! [`Engine::step`] at that instant; the next step begins when the one before was due, not when
//! the driver came round to it, so late timers do not add up.
//!
//! While only decoding goes on, nothing of interest happens for many steps: no prompt to compute,
//! no block to take, no answer complete. Such a stretch is one iteration of many steps, whose end
//! follows from a closed form; a request that arrives in it cuts it at the next step's end.

mod front_end;
pub mod handover;
mod heat;
mod iteration;
mod kv_transfer;
mod loans;
mod output;
mod peer_fetch;
pub mod physics;
pub mod profile;
mod scheduler;
mod sequence;
mod status;
pub mod store;
mod worker;

pub use loans::LoanStats;
pub use output::{EngineStats, FetchError, LoanKey, Output, SubmitError};
pub use worker::Engine;
