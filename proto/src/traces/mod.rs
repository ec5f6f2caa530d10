//! Traces: what a request did in this process and what came before and after it in others, sent to a collector over
//! OTLP (gRPC). Off unless an endpoint is configured.
//!
//! - `span`: one stretch of a request's life. `tracer`: begins spans. `export`: sends those that have ended.
//! - `ended`: a span as data. `wire`: the same as OTLP's messages. [`otlp`]: these messages.
//!
//! Attributes have the names of OpenTelemetry's semantic conventions 1.41.0, the last version with those for
//! generative AI in it, and `warmpath.` before what they do not name.

mod config;
mod ended;
mod export;
pub mod otlp;
mod span;
mod tracer;
mod wire;

pub use crate::trace_context::{TRACEPARENT, TraceContext};
pub use config::OtlpConfig;
pub use ended::{Kind, Value, attributes};
pub use span::Span;
pub use tracer::Tracer;
