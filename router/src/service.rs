//! vLLM's generate calls, as a client sees them. Answers are passed on as the bytes that came.

use crate::metrics;
use crate::relay::{self, Relay, Started};
use crate::shared::Shared;
use crate::tenants::Tenant;
use std::sync::Arc;
use tokio_stream::StreamExt;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::{Extensions, Request, Response, Status};
use warmpath_proto::raw::inference_server::Inference;
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::vllm::GenerateResponse;

/// Response metadata: which worker answers.
const WORKER: &str = "x-warmpath-worker";
/// Response metadata: the request's name, also where its client gave none.
const REQUEST: &str = "x-warmpath-request-id";
/// Response metadata: wall nanoseconds that the router itself took.
const ROUTER_NS: &str = "x-warmpath-router-ns";

/// Calls of a service are somebody's, or refused before their message is read.
pub fn identified<S>(
    shared: &Arc<Shared>,
    service: S,
) -> InterceptedService<S, impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone + use<S>>
{
    let shared = Arc::clone(shared);
    InterceptedService::new(service, move |mut request: Request<()>| {
        match shared.tenants.identify(request.metadata()) {
            Ok(tenant) => {
                request.extensions_mut().insert(tenant);
                Ok(request)
            }
            Err(status) => {
                metrics::refused(shared.heart.policy(), status.code());
                Err(status)
            }
        }
    })
}

/// Who sent a call. One that came by no interceptor is nobody's.
pub fn sender(extensions: &Extensions) -> Result<&Arc<Tenant>, Status> {
    extensions.get().ok_or_else(|| Status::unauthenticated("nobody was identified"))
}

#[derive(Clone, Debug)]
pub struct InferenceService(pub Arc<Shared>);

#[tonic::async_trait]
impl Inference for InferenceService {
    /// A stream upstream even so: its first token ends the booking of the prefill.
    async fn generate(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let tenant = sender(&extensions)?;
        let mut started = relay::start(&self.0, tenant, &metadata, request).await?;
        let mut whole = GenerateResponse::default();
        while let Some(part) = started.relay.next().await {
            merge(&mut whole, raw::response(part?)?);
        }
        Ok(with_metadata(&started, raw::bytes(&whole)))
    }

    type GenerateStreamStream = Relay;

    async fn generate_stream(&self, request: Request<Bytes>) -> Result<Response<Relay>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let started = relay::start(&self.0, sender(&extensions)?, &metadata, request).await?;
        let response = with_metadata(&started, ());
        Ok(response.map(|()| started.relay))
    }
}

fn with_metadata<T>(started: &Started, message: T) -> Response<T> {
    let mut response = Response::new(message);
    let metadata = response.metadata_mut();
    if let Ok(worker) = MetadataValue::<Ascii>::try_from(started.link.name.as_str()) {
        metadata.insert(WORKER, worker);
    }
    if let Ok(name) = MetadataValue::<Ascii>::try_from(started.relay.name()) {
        metadata.insert(REQUEST, name);
    }
    metadata.insert(ROUTER_NS, MetadataValue::from(started.router_ns));
    response
}

/// Adds one part of a stream to what came before it.
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
