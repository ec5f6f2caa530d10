//! An engine that speaks OpenAI's HTTP, as vLLM's server does.
//!
//! - `engine`: one engine and the calls to it.
//! - `running`: its requests by name: a dropped connection ends one, and only its answer can drop it.
//! - `answer`: events of an answer, in the router's terms.
//! - `failure`: statuses and errors, in the router's terms.

mod answer;
mod engine;
mod failure;
mod running;

pub use answer::Answer;
pub use engine::{Engine, Prepared};
pub use failure::holds_no_prompt;
