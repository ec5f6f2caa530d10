//! Clients that speak vLLM's gRPC. To them the router looks like one vLLM server.
//!
//! - `inference`: the generate calls.
//! - `control`: vLLM's control calls.
//! - `request`: a generate request in the router's terms.
//! - `resume`: which answers may go on on another worker.
//! - `identify`: the tenant of a call, from its metadata or headers.
//! - `places`: how many calls of a tenant are under way.
//! - `status`: errors as gRPC statuses.
//! - `listener`: the services on a listener, with health and reflection.

mod control;
mod identify;
mod inference;
mod listener;
mod places;
mod request;
mod resume;
mod status;

pub use identify::tenant_of;
pub use inference::metadata;
pub use listener::{FrontError, GrpcFront, Health};
pub use places::place;
pub use request::incoming;
pub use status::of_error;
