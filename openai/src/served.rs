//! What a server behind these routes can do.

use crate::problem::Problem;
use axum::http::{HeaderMap, HeaderName};
use futures_core::Stream;
use smallvec::SmallVec;
use std::time::Instant;
use tonic::{Code, Status};
use warmpath_proto::traces::TraceContext;
use warmpath_proto::vllm::GenerateRequest;

/// Headers that name a session, unless the operator names others.
pub const SESSION_HEADERS: [&str; 3] = ["x-session-id", "x-session-affinity", "x-correlation-id"];

/// Names of headers. The error says which is none.
pub fn header_names(names: &[String]) -> Result<Vec<HeaderName>, String> {
    let parse = |name: &String| {
        let wrong = |_| format!("{name:?}, expected the name of a header");
        HeaderName::from_bytes(name.as_bytes()).map_err(wrong)
    };
    names.iter().map(parse).collect()
}

/// The text of a header. It must be text, and fit into the metadata of an answer.
pub fn header_text<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map(str::trim);
    let text = text.map_err(|_| Problem::field(name.as_str(), "expected visible ASCII"))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The client's name for the session: the first of these headers that is there.
pub fn session<'a>(
    headers: &'a HeaderMap,
    names: &[HeaderName],
) -> Result<Option<&'a str>, Problem> {
    for name in names {
        if let Some(session) = header_text(headers, name)? {
            return Ok(Some(session));
        }
    }
    Ok(None)
}

/// A part of an answer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Part {
    pub ids: SmallVec<[u32; 4]>,
    /// In the last part only.
    pub end: Option<End>,
    /// What happened to the answer on its way, one for each time: it is told as a comment in a stream.
    pub notes: Vec<String>,
}

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// OpenAI's word for it: `length`, `stop` or `abort`.
    pub reason: &'static str,
    /// Prompt tokens that were in a cache.
    pub cached_tokens: u32,
}

/// An answer that has begun.
#[derive(Debug)]
pub struct Started<A> {
    pub answer: A,
    /// Headers of the response.
    pub headers: HeaderMap,
}

/// A request as the routes hand it on.
#[derive(Debug)]
pub struct Asked {
    pub request: GenerateRequest,
    /// When the client gives up.
    pub deadline: Option<Instant>,
    /// When the request came.
    pub received: Instant,
    /// The trace that it belongs to, if its client says one.
    pub trace: Option<TraceContext>,
}

/// A server. Its errors are gRPC statuses, so that both fronts have the same ones.
pub trait Served: Send + Sync + 'static {
    /// Who calls.
    type Caller: Clone + Send + 'static;
    /// A call under way, for limits. It ends with its answer.
    type Place: Send + Unpin + 'static;
    type Answer: Stream<Item = Result<Part, Status>> + Send + Unpin + 'static;

    /// Who calls, by the headers.
    fn caller(&self, headers: &HeaderMap) -> Result<Self::Caller, Status>;
    /// Room for a call that takes some.
    fn place(&self, caller: &Self::Caller) -> Result<Self::Place, Status>;
    /// The largest body.
    fn body_bytes(&self) -> usize;
    /// The served model. The error is UNAVAILABLE before one is served.
    fn model(&self) -> Result<String, Status>;
    /// The most tokens of prompt and answer.
    fn max_model_len(&self) -> u32;
    /// Model seconds a wall second, which only simulated engines have.
    fn speedup(&self) -> f64;
    /// Whether the server takes requests.
    fn health(&self) -> Result<(), Status>;
    /// Prometheus' text. None: this process measures nothing.
    fn metrics(&self) -> Option<String>;
    /// Headers that name a session; the first that is there counts.
    fn session_headers(&self) -> &[HeaderName];
    /// A generate request got no answer, for such a reason.
    fn refused(&self, code: Code);
    /// Starts a request.
    fn generate(
        &self,
        caller: Self::Caller,
        asked: Asked,
    ) -> impl Future<Output = Result<Started<Self::Answer>, Status>> + Send;
    /// Empties the prefix cache. `external`: of the tiers behind the accelerator's memory too.
    fn reset(
        &self,
        caller: Self::Caller,
        external: bool,
    ) -> impl Future<Output = Result<(), Status>> + Send;
}
