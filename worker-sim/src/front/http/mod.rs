//! OpenAI's HTTP, for clients that talk to one worker as to a vLLM server. The routes are those of
//! `warmpath_openai`.
//!
//! - `served`: the worker as the server behind the routes. `answer`: an answer's parts.
//! - `listener`: the routes on a listener.

mod answer;
mod listener;
mod served;

pub use listener::HttpFront;
