//! One request on its way: named, decided, sent to its worker, its answer passed back byte for
//! byte.
//!
//! - `start`: the steps in order. `attempt`: one attempt, and the ones after it if it fails.
//! - `job`: what it takes to send a request, once or again.
//! - [`naming`]: a prompt's blocks by name, and the request as the core router sees it.
//! - `flight`: what a request leaves in the router while it is under way, and the wait for a
//!   decision.
//! - `kv_transfer`: a prompt that one worker computes and another answers.
//! - `answer`: the stream of the answer.
//! - `measure`: what is measured of it.
//! - `patience`: how long an answer is waited for.
//! - `traced`: the request in traces.
//! - `pick`: a request that Envoy sends.
//! - `refusal`: what a client is told of a request that is not taken.
//! - `abort`: ending a request by its name.

mod abort;
mod answer;
mod attempt;
mod flight;
mod job;
mod kv_transfer;
mod measure;
pub mod naming;
mod patience;
mod pick;
mod refusal;
mod start;
mod traced;

pub use abort::abort;
pub use answer::{Answer, Later};
pub use pick::{Picked, pick};
pub use start::{Started, start};
