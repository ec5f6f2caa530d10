//! vLLM's generate calls.

use super::status::of_refusal;
use crate::answer::{Answer, AnswerPart};
use crate::command::End;
use crate::submit::submit;
use crate::worker::WorkerState;
use prost_types::Struct;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use warmpath_core::engine::store::Hit;
use warmpath_proto::deadline;
use warmpath_proto::generate;
use warmpath_proto::tiers;
use warmpath_proto::traces::TraceContext;
use warmpath_proto::transfer::{self, Transfer};
use warmpath_proto::vllm::{
    FinishInfo, GenerateRequest, GenerateResponse, PromptInfo, SequenceOutput,
    finish_info::FinishReason, inference_server::Inference,
};

/// The generate calls.
#[derive(Clone, Debug)]
pub struct InferenceService(pub Arc<WorkerState>);

impl InferenceService {
    async fn start(&self, request: Request<GenerateRequest>) -> Result<AnswerStream, Status> {
        let worker = &self.0;
        worker.refuse_if_draining().map_err(of_refusal)?;
        let trace = TraceContext::of_metadata(request.metadata());
        let mut accepted = generate::accept(&mut request.into_inner(), &worker.config.model)?;
        accepted.trace = trace;
        let from = match &accepted.transfer {
            Some(Transfer::Answer(remote)) => Some(remote.clone()),
            _ => None,
        };
        let name = accepted.request_id.clone();
        let answer = submit(worker, accepted).await.map_err(of_refusal)?;
        let wording = Wording { worker: Arc::clone(worker), name, from };
        Ok(AnswerStream { answer, wording })
    }
}

#[tonic::async_trait]
impl Inference for InferenceService {
    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<GenerateResponse>, Status> {
        let until = deadline::deadline(request.metadata(), deadline::arrived(request.extensions()));
        let AnswerStream { mut answer, wording } = self.start(request).await?;
        let whole = match until {
            None => answer.whole().await,
            Some(until) => tokio::time::timeout_at(until.into(), answer.whole())
                .await
                .map_err(|_| Status::deadline_exceeded("the deadline passed"))?,
        };
        Ok(Response::new(wording.response(whole.map_err(of_refusal)?)))
    }

    type GenerateStreamStream = AnswerStream;

    async fn generate_stream(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<AnswerStream>, Status> {
        self.start(request).await.map(Response::new)
    }
}

/// An answer as a stream of vLLM's messages.
#[derive(Debug)]
pub struct AnswerStream {
    answer: Answer,
    wording: Wording,
}

impl Stream for AnswerStream {
    type Item = Result<GenerateResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        Pin::new(&mut this.answer).poll_next(cx).map(|part| {
            part.map(|part| part.map(|part| this.wording.response(part)).map_err(of_refusal))
        })
    }
}

/// Puts one answer into vLLM's terms.
#[derive(Debug)]
struct Wording {
    worker: Arc<WorkerState>,
    /// The client's name for the request.
    name: String,
    /// The prefill worker, if another worker computed the prompt.
    from: Option<transfer::Remote>,
}

impl Wording {
    fn response(&self, part: AnswerPart) -> GenerateResponse {
        let AnswerPart { prompt, tokens: num_tokens, token_ids, end, made } = part;
        let prompt_info = prompt.map(|prompt| PromptInfo {
            num_prompt_tokens: prompt.tokens,
            token_ids: prompt.token_ids,
            ..Default::default()
        });
        let finish_info = end.map(|end| {
            let (reason, found) = self.ended_as(end);
            let (num_cached_tokens, kv_transfer_params) = found.unzip();
            FinishInfo {
                num_output_tokens: made,
                finish_reason: reason.into(),
                num_cached_tokens,
                kv_transfer_params,
                ..Default::default()
            }
        });
        let outputs = SequenceOutput { num_tokens, token_ids, finish_info, ..Default::default() };
        GenerateResponse { prompt_info, outputs: Some(outputs) }
    }

    /// How the answer ended, how many prompt tokens were cached, and where.
    fn ended_as(&self, end: End) -> (FinishReason, Option<(u32, Struct)>) {
        match end {
            End::Finished { cached_tokens, hit, moved } => {
                let mut params = self.by_origin(&hit);
                let mut cached = cached_tokens;
                // The prefill worker found the cached part of the prompt, so its figures count.
                if let Some(from) = &self.from
                    && let Some(tokens) = from.cached_tokens()
                {
                    cached = tokens;
                    let found = from.found.clone();
                    params.fields.extend(found.map(|found| (tiers::FIELD.to_owned(), found)));
                }
                if let Some(moved) = moved {
                    transfer::moved(&mut params, moved);
                }
                (FinishReason::Length, Some((cached, params)))
            }
            End::Held { cached_tokens, hit } => {
                let mut params = self.by_origin(&hit);
                let here = &self.worker.address;
                let host = here.host.as_deref();
                transfer::held(&mut params, &here.engine_id, &self.name, host, here.port);
                (FinishReason::Length, Some((cached_tokens, params)))
            }
            End::Aborted => (FinishReason::Aborted, None),
        }
    }

    /// The cached prompt tokens by where they came from.
    fn by_origin(&self, hit: &Hit) -> Struct {
        let profile = &self.worker.config.profile;
        tiers::to_wire(profile, &hit.map(|blocks| blocks * profile.block_size))
    }
}
