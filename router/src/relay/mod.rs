//! One request on its way: named, decided, sent to its worker, its answer passed back byte for
//! byte.
//!
//! - `start`: the steps in order.
//! - [`naming`]: a prompt's blocks by name, and the request as the core router sees it.
//! - `flight`: what a request leaves in the router while it is under way, and the wait for a
//!   decision.
//! - `kv_transfer`: a prompt that one worker computes and another answers.
//! - `answer`: the stream of the answer.
//! - `stuck`: notices that the worker of an answer is stuck.
//! - `abort`: ending a request by its name.

mod abort;
mod answer;
mod flight;
mod kv_transfer;
pub mod naming;
mod start;
mod stuck;

pub use abort::abort;
pub use answer::Answer;
pub use start::{Started, start};
