//! What a client speaks. Each protocol has a folder here.
//!
//! A front reads a request into an `Incoming`, calls `relay::start`, and writes the answer and the
//! errors in its protocol's terms.
//!
//! - [`grpc`]: vLLM's gRPC.
//! - [`http`]: OpenAI's HTTP, which becomes the same requests.
//! - [`picker`]: Envoy, which sends the requests itself and asks where.

pub mod grpc;
pub mod http;
pub mod picker;
