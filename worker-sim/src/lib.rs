//! A simulated GPU worker on the wire: vLLM's gRPC in front, the warmpath engine behind.
//!
//! - `front`: what clients, routers and other workers speak. It knows protocols, not the engine's
//!   thread.
//! - `submit`, `answer`, `refusal`: a request's way to the engine and back, in no protocol's terms.
//! - `worker`: what all fronts of one worker share.
//! - `command`, `driver`: the engine on a thread of its own. `turns`: how that thread keeps time.
//! - `holding`: prompts that are computed here for decode workers. `sending`: blocks that are sent on
//!   request.
//! - `remote`: what this worker gets from pools, peers and prefill workers. `recent`: the ones that
//!   it remembers.
//! - `feed`: what watchers are told. `kv_events`: the same in vLLM's own terms, for other routers.
//! - [`pool`]: the pool, a process of its own.
//! - [`cli`]: the command line and its file. [`config`], [`http_config`]: what a worker is made
//!   of.
//! - `server`, `lifecycle`, `surroundings`, `serve_error`: the process: listening, draining, stopping.
//! - `traced`: requests in traces.
//! - `metrics`: vLLM's own metric names. `lateness`: how late the threads were.

mod answer;
pub mod cli;
mod command;
pub mod config;
mod driver;
mod feed;
mod front;
mod holding;
pub mod http_config;
mod kv_events;
mod lateness;
mod lifecycle;
mod metrics;
pub mod pool;
mod recent;
mod refusal;
mod remote;
mod sending;
mod serve_error;
mod server;
mod submit;
mod surroundings;
mod traced;
mod turns;
mod worker;

pub use config::WorkerConfig;
pub use kv_events::{EventForm, Hashes, KvEventsConfig};
pub use lateness::Lateness;
pub use metrics::install_metrics;
pub use serve_error::ServeError;
pub use server::{Http, Listeners, serve, serve_in};
pub use surroundings::Surroundings;
pub use turns::Place;
