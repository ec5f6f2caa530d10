//! Listening: one accept loop for all processes, with limits that a hostile client meets and a good one
//! does not.
//!
//! - `limits`: the limits as data.
//! - `serve`: accepts, and serves connections until it is told to close.
//! - `addresses`: how many connections there are, by peer address; the bytes that may be received.
//! - `socket`: a connection's bytes, plain or TLS, with time-outs. `spoken`, `frames`: what these bytes must
//!   keep to.
//! - `streams`: the answers of a connection; one that its client does not read is cut.
//! - `body`: a gRPC request's body on its way in. `fields`: a generate request that is refused while it comes.
//!   `upload`: the body of another HTTP request.

mod addresses;
mod body;
mod fields;
mod frames;
mod limits;
mod serve;
mod socket;
mod spoken;
mod streams;
mod upload;

pub use limits::{Limits, Note, Times};
pub use serve::{Listening, Protocol, serve};
