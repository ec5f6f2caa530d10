//! A gRPC router that sends each request to the worker whose KV cache serves it soonest. To its
//! clients it looks like one vLLM server.
//!
//! - [`config`]: what a router is made of.
//! - `heart`: the core's router behind a lock, its record, its clock. All that happens to it goes
//!   through one function.
//! - `relay`: one request on its way: check, hash, decide, pass on, stream back. `flight`: what it leaves
//!   here meanwhile.
//! - `hints`: what a worker is told of a decision besides the request.
//! - `feed`: a source's messages, and why following it ends. `follow`: following one for ever, into the
//!   prefix index. `subscribe`, `pools`: what a worker and a pool have of their own in that.
//! - `service`, `control`: the gRPC services.
//! - `roster`: the workers by number. `link`: the connections to one of them.
//! - `admin`: the operator's service: who is there, drain, policy, explain.
//! - [`answers`]: its answers as sheets.
//! - `server`: listening, draining, stopping.
//! - [`tenants`]: whose a call is, by its bearer token. [`public`]: prefixes that all tenants share.
//!   [`Secret`](secret::Secret): what no log shows of them.
//! - `record`: writing a run down. `metrics`: what is counted.

mod admin;
pub mod answers;
pub mod config;
mod control;
mod feed;
mod flight;
mod follow;
mod heart;
mod hints;
mod link;
mod metrics;
mod pools;
mod prefill;
pub mod public;
mod record;
mod relay;
mod roster;
pub mod secret;
mod server;
mod service;
mod shared;
mod subscribe;
pub mod tenants;

pub use admin::Admin;
pub use config::RouterConfig;
pub use metrics::install_metrics;
pub use roster::AddError;
pub use server::{RouterServer, ServeError, serve};
pub use shared::{Counts, FleetStatus};
