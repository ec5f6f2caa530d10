//! What clients, routers and other workers speak. Each protocol has a folder here.
//!
//! A front reads a request, calls `submit::submit` or sends a command, and writes answers and
//! refusals in its protocol's terms. The engine's thread knows no front.
//!
//! - [`grpc`]: vLLM's gRPC, and warmpath's own services beside it.
//! - [`http`]: OpenAI's HTTP.

pub mod grpc;
pub mod http;
