//! vLLM's generate calls. Answers are passed on as the bytes that the worker sent.

use super::identify::sender;
use super::request::incoming;
use super::status::{of_error, refused};
use crate::payload::AnswerBody;
use crate::relay::{self, Answer, Started};
use crate::state::RouterState;
use crate::tenants::Tenant;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Response, Status};
use warmpath_proto::deadline;
use warmpath_proto::raw::inference_server::Inference;
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::vllm::GenerateResponse;

/// Response metadata: the worker that answers.
const WORKER: &str = "x-warmpath-worker";
/// Response metadata: the name that this worker gives itself, if it has one.
const WORKER_NAME: &str = "x-warmpath-worker-name";
/// Response metadata: the request's name, also if its client gave none.
const REQUEST: &str = "x-warmpath-request-id";
/// Response metadata: the router's own time, in wall nanoseconds.
const ROUTER_NS: &str = "x-warmpath-router-ns";

/// The generate calls.
#[derive(Clone, Debug)]
pub struct InferenceService(pub Arc<RouterState>);

impl InferenceService {
    async fn start(&self, request: Request<Bytes>) -> Result<Started, Status> {
        let received = Instant::now();
        let (metadata, extensions, message) = request.into_parts();
        let tenant = Arc::clone(sender(&extensions)?);
        let deadline = deadline::deadline(&metadata, deadline::arrived(&extensions));
        let started = self.start_for(tenant, received, deadline, message).await;
        started.map_err(|status| refused(&self.0, status))
    }

    async fn start_for(
        &self,
        tenant: Arc<Tenant>,
        received: Instant,
        deadline: Option<Instant>,
        message: Bytes,
    ) -> Result<Started, Status> {
        let terms = self.0.open().map_err(|error| of_error(&error))?;
        let fields = raw::request(&message)?;
        let mut incoming = incoming(fields, message, &terms.model, tenant, received)?;
        incoming.deadline = deadline;
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
        Ok(with_metadata(&started, raw::bytes(&whole)))
    }

    type GenerateStreamStream = AnswerStream;

    async fn generate_stream(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<AnswerStream>, Status> {
        let started = self.start(request).await?;
        let response = with_metadata(&started, ());
        Ok(response.map(|()| AnswerStream(started.answer)))
    }
}

/// An answer as a stream of gRPC messages.
#[derive(Debug)]
pub struct AnswerStream(Answer);

impl Stream for AnswerStream {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map(|part| {
            part.map(|part| match part {
                Ok(AnswerBody::Vllm(bytes)) => Ok(bytes),
                Err(error) => Err(of_error(&error)),
            })
        })
    }
}

fn with_metadata<T>(started: &Started, message: T) -> Response<T> {
    let mut response = Response::new(message);
    let metadata = response.metadata_mut();
    if let Ok(worker) = MetadataValue::<Ascii>::try_from(started.link.name.as_str()) {
        metadata.insert(WORKER, worker);
    }
    let given = started.link.given();
    if !given.is_empty()
        && let Ok(given) = MetadataValue::<Ascii>::try_from(given)
    {
        metadata.insert(WORKER_NAME, given);
    }
    if let Ok(name) = MetadataValue::<Ascii>::try_from(started.answer.name()) {
        metadata.insert(REQUEST, name);
    }
    metadata.insert(ROUTER_NS, MetadataValue::from(started.router_ns));
    response
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
