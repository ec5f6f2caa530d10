//! OpenAI's completions as a client of an engine: vLLM's HTTP server, or one like it.
//!
//! - [`body`]: a generate request as a body. [`chunk`]: an event of the answer.
//! - [`models`]: what the engine says of its models.

pub mod body;
pub mod chunk;
pub mod models;
