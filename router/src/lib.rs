//! A gRPC router that sends each request to the worker whose KV cache serves it soonest. To its
//! clients it looks like one vLLM server.
//!
//! A request's way, and the rooms it passes:
//!
//! - `front`: what a client speaks. It reads a request into an `incoming` one, and writes answers
//!   and `error`s in its protocol's terms.
//! - `relay`: one request on its way: named, decided, sent, its answer passed back.
//! - `upstream`: what a worker speaks. `call`: what the router asks of a worker, and its answer. `site`: an engine's HTTP.
//! - `payload`: the messages that pass from front to upstream and back as bytes.
//!
//! What decides, and on which knowledge:
//!
//! - `handle`: the core router behind a lock, its record and clock. `waiting`: the requests it
//!   holds.
//! - `source`: where knowledge of workers and pools comes from.
//! - `discovery`: workers that are found by a name.
//! - `following`: that knowledge into the `index` and the core router, for as long as the router serves.
//! - `fleet`: the workers, pools and siblings as data.
//! - `siblings`: what other routers before the fleet tell, and are told. `telling`: who is told what.
//!
//! Around them:
//!
//! - [`config`]: what a router is made of. [`limits`]: what clients may do to its listener.
//!   [`http_config`]: how OpenAI's HTTP is spoken. [`ext_proc_config`]: how Envoy is.
//!   [`admission`]: what it takes on. [`tenants`]: bearer tokens. [`share`]: siblings. [`public`]: prefixes that all
//!   tenants share. [`engines`]: workers that are real engines. [`secret`]: texts that no log
//!   shows. `urls`: one spelling of them. `lookup`: the addresses behind them. [`config_error`]: a setting that
//!   cannot be used.
//! - `state`: what all parts share. `in_flight`: the requests that clients wait for. `decided`:
//!   names of the last decisions. `places`: how many calls a tenant has. `scopes`: salts and keys of sharing scopes.
//!   `events`: what happened to the fleet lately.
//! - `operator`: the admin service. [`answers`]: its answers as sheets.
//! - `server`: listening, draining, stopping.
//! - [`cli`]: the command line and its file. [`operate`]: `router admin`.
//! - `record`: the run in a file, for replay. `capture`: the traffic in a file, as a trace. `metrics`, `gauges`: what
//!   is counted. `series`: what every request counts in.

pub mod admission;
pub mod answers;
mod call;
mod capture;
pub mod cli;
pub mod config;
pub mod config_error;
mod decided;
mod discovery;
pub mod engines;
mod error;
mod events;
pub mod ext_proc_config;
mod fleet;
mod following;
mod front;
mod gauges;
mod handle;
pub mod http_config;
mod in_flight;
mod incoming;
mod index;
pub mod limits;
mod lookup;
mod metrics;
pub mod operate;
mod operator;
mod payload;
mod places;
mod policy;
pub mod public;
mod record;
mod relay;
mod scopes;
pub mod secret;
mod series;
mod server;
pub mod share;
mod siblings;
mod site;
mod source;
mod state;
mod telling;
pub mod tenants;
mod upstream;
mod urls;
mod waiting;

pub use config::RouterConfig;
pub use fleet::roster::AddError;
pub use fleet::status::{Counts, FleetStatus};
pub use metrics::install_metrics;
pub use operator::Admin;
pub use server::{Http, Listeners, RouterServer, ServeError, Surroundings, serve};
