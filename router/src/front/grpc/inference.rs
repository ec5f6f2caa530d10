//! vLLM's generate calls. Answers are passed on as the bytes that the worker sent.

use super::identify::sender;
use super::request::incoming;
use super::status::{of_error, refused};
use crate::payload::AnswerBody;
use crate::relay::{self, Answer, Later, Started};
use crate::state::RouterState;
use crate::tenants::Tenant;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Extensions, Request, Response, Status};
use warmpath_proto::clock::now;
use warmpath_proto::deadline;
use warmpath_proto::raw::inference_server::Inference;
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::traces::TraceContext;
use warmpath_proto::vllm::GenerateResponse;

/// Response metadata: the worker that answers.
const WORKER: &str = "x-warmpath-worker";
/// Response metadata: the name that this worker gives itself, if it has one.
const WORKER_NAME: &str = "x-warmpath-worker-name";
/// Response metadata: the request's name, also if its client gave none.
const REQUEST: &str = "x-warmpath-request-id";
/// Response metadata: how often it was sent to a worker, if more than once.
const ATTEMPTS: &str = "x-warmpath-attempts";
/// Trailing metadata of an answer whose worker failed, one for each time: the worker on which it went on,
/// and after how many tokens, as `w3 after 17`.
const RESUMED: &str = "x-warmpath-resumed";
/// Response metadata: the router's own time, in wall nanoseconds.
const ROUTER_NS: &str = "x-warmpath-router-ns";

/// The generate calls.
#[derive(Clone, Debug)]
pub struct InferenceService(pub Arc<RouterState>);

impl InferenceService {
    async fn start(&self, request: Request<Bytes>) -> Result<Started, Status> {
        let received = now();
        let (metadata, extensions, message) = request.into_parts();
        let tenant = Arc::clone(sender(&extensions)?);
        let deadline = deadline::deadline(&metadata, deadline::arrived(&extensions));
        let trace = TraceContext::of_metadata(&metadata);
        let started = self.start_for(tenant, (received, deadline), trace, message).await;
        started.map_err(|status| refused(&self.0, status))
    }

    async fn start_for(
        &self,
        tenant: Arc<Tenant>,
        (received, deadline): (Instant, Option<Instant>),
        trace: Option<TraceContext>,
        message: Bytes,
    ) -> Result<Started, Status> {
        let terms = self.0.open().map_err(|error| of_error(&error))?;
        let fields = raw::request(&message)?;
        let mut incoming = incoming(fields, message, &terms.model, tenant, received)?;
        (incoming.deadline, incoming.trace) = (deadline, trace);
        relay::start(&self.0, &terms, incoming).await.map_err(|error| of_error(&error))
    }
}

#[tonic::async_trait]
impl Inference for InferenceService {
    /// The call to the worker is a stream even here: the first token ends the booking of the
    /// prefill.
    async fn generate(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let mut started = self.start(request).await?;
        let mut whole = GenerateResponse::default();
        while let Some(part) = started.answer.next().await {
            let AnswerBody::Vllm(part) = part.map_err(|error| of_error(&error))?;
            merge(&mut whole, raw::response(part)?);
        }
        let mut response = with_metadata(&started, raw::bytes(&whole));
        add_later(response.metadata_mut(), started.answer.later());
        Ok(response)
    }

    type GenerateStreamStream = AnswerStream;

    async fn generate_stream(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<AnswerStream>, Status> {
        let started = self.start(request).await?;
        let response = with_metadata(&started, ());
        Ok(response.map(|()| AnswerStream { answer: started.answer, ended: false }))
    }
}

/// An answer as a stream of gRPC messages.
#[derive(Debug)]
pub struct AnswerStream {
    answer: Answer,
    ended: bool,
}

impl Stream for AnswerStream {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.answer).poll_next(cx).map(|part| match part {
            Some(Ok(AnswerBody::Vllm(bytes))) => Some(Ok(bytes)),
            Some(Err(error)) => Some(Err(with_later(of_error(&error), self.answer.later()))),
            None if self.answer.later().is_empty() => None,
            None => {
                // An error of the code OK ends the stream well, with metadata.
                self.ended = true;
                Some(Err(with_later(Status::new(Code::Ok, ""), self.answer.later())))
            }
        })
    }
}

fn with_metadata<T>(started: &Started, message: T) -> Response<T> {
    Response::from_parts(metadata(started), message, Extensions::default())
}

/// What the response says of the request.
pub fn metadata(started: &Started) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    if let Ok(worker) = MetadataValue::<Ascii>::try_from(started.link.name.as_str()) {
        metadata.insert(WORKER, worker);
    }
    let given = started.link.given();
    if !given.is_empty()
        && let Ok(given) = MetadataValue::<Ascii>::try_from(given)
    {
        metadata.insert(WORKER_NAME, given);
    }
    if started.attempts > 1 {
        metadata.insert(ATTEMPTS, started.attempts.into());
    }
    if let Ok(name) = MetadataValue::<Ascii>::try_from(started.name.as_str()) {
        metadata.insert(REQUEST, not_indexed(name));
    }
    metadata.insert(ROUTER_NS, not_indexed(MetadataValue::from(started.router_ns)));
    metadata
}

/// A value that no other answer has. HTTP/2 does not put a sensitive value into its table of headers, where each new one
/// would be compared with those before it, and would push out others that come again. It is no secret.
fn not_indexed(mut value: MetadataValue<Ascii>) -> MetadataValue<Ascii> {
    value.set_sensitive(true);
    value
}

fn with_later(mut status: Status, later: &[Later]) -> Status {
    add_later(status.metadata_mut(), later);
    status
}

fn add_later(metadata: &mut MetadataMap, later: &[Later]) {
    for Later { worker, after } in later {
        if let Ok(value) = MetadataValue::try_from(format!("{worker} after {after}")) {
            metadata.append(RESUMED, value);
        }
    }
}

/// Adds one part of a stream to the parts before it.
fn merge(whole: &mut GenerateResponse, part: GenerateResponse) {
    whole.prompt_info = whole.prompt_info.take().or(part.prompt_info);
    let Some(mut more) = part.outputs else { return };
    let Some(outputs) = &mut whole.outputs else {
        whole.outputs = Some(more);
        return;
    };
    outputs.num_tokens = outputs.num_tokens.saturating_add(more.num_tokens);
    outputs.text.push_str(&more.text);
    outputs.token_ids.append(&mut more.token_ids);
    outputs.finish_info = more.finish_info.or(outputs.finish_info.take());
}
