//! Envoy sends the requests, with this router as its endpoint picker: Envoy's external processing, as the
//! Gateway API Inference Extension uses it.
//!
//! - `service`: the listener, and the call that Envoy opens for each HTTP request.
//! - `exchange`: one HTTP request, message by message.
//! - `choose`: which worker. `paths`: what a path asks for. `endpoint`: where workers are for Envoy.
//! - `words`: messages read and made. `usage`: what an answer says of its tokens.

mod choose;
mod endpoint;
mod exchange;
mod paths;
mod service;
mod usage;
mod words;

pub use service::serve;
