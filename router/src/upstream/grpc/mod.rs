//! A worker that speaks vLLM's gRPC.
//!
//! - `connections`: the connections to one worker and the calls on them.
//! - `message`: a call as a message.
//! - `answer`: messages of an answer, and the errors of gRPC, in the router's terms.

mod answer;
mod connections;
mod message;

pub use answer::Answer;
pub use connections::{Connections, Prepared};
