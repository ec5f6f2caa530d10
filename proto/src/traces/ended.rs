//! A span that has ended, as data.

use crate::trace_context::TraceContext;
use std::time::Instant;

/// Names of attributes.
pub mod attributes {
    pub const OPERATION: &str = "gen_ai.operation.name";
    pub const PROVIDER: &str = "gen_ai.provider.name";
    pub const MODEL: &str = "gen_ai.request.model";
    pub const MAX_TOKENS: &str = "gen_ai.request.max_tokens";
    pub const CONVERSATION: &str = "gen_ai.conversation.id";
    pub const RESPONSE_ID: &str = "gen_ai.response.id";
    pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    pub const CACHED_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
    pub const ERROR: &str = "error.type";
    pub const SERVER: &str = "server.address";
}

/// Whose side of a call a span is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Internal,
    Server,
    Client,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Text(String),
    Texts(Vec<String>),
    Number(i64),
    Real(f64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

/// A span that has ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Ended {
    pub context: TraceContext,
    pub parent: Option<u64>,
    pub name: String,
    pub kind: Kind,
    pub start: Instant,
    pub end: Instant,
    pub attributes: Vec<(&'static str, Value)>,
    pub events: Vec<(Instant, &'static str)>,
    /// Why it failed, if it did.
    pub failed: Option<String>,
}
