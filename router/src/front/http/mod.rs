//! Clients that speak OpenAI's HTTP. A request becomes vLLM's generate request, with gRPC's checks, limits and
//! errors; the routes are those of `warmpath_openai`.
//!
//! - `served`: the fleet as the server behind the routes.
//! - `answer`: an answer's messages as parts.
//! - `listener`: the routes on a listener.

mod answer;
mod listener;
mod served;

pub use listener::{HttpFront, loaded};
