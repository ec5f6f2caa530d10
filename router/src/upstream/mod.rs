//! What a worker speaks. Each protocol has a folder here and one variant in the two enums below.
//!
//! - [`grpc`]: vLLM's gRPC. [`openai`]: OpenAI's HTTP.
//! - `failure`: what a status code means.
//!
//! Requests and answers in the router's own terms stand in [`crate::call`].
//!
//! These are enums, not traits, so that a call and a message of an answer cost no allocation.

mod failure;
pub mod grpc;
pub mod openai;

use crate::call::{AnswerPart, Call, UpstreamError};
use crate::payload::HeldPrompt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;

/// The way to one worker.
#[derive(Debug)]
pub enum Upstream {
    Grpc(grpc::Connections),
    OpenAi(openai::Engine),
}

impl Upstream {
    /// Writes the message for a generate call. Nothing is sent yet.
    pub fn prepare(&self, call: Call<'_>) -> Prepared {
        match self {
            Self::Grpc(connections) => Prepared::Grpc(connections.prepare(call)),
            Self::OpenAi(engine) => Prepared::OpenAi(engine.prepare(&call)),
        }
    }

    /// Has the worker compute a prompt and hold its KV for another worker.
    pub async fn prefill(&self, call: &Call<'_>) -> Result<HeldPrompt, UpstreamError> {
        match self {
            Self::Grpc(connections) => connections.prefill(call).await,
            Self::OpenAi(_) => Err(openai::holds_no_prompt()),
        }
    }

    /// Empties the worker's prefix cache. `external`: of the tiers behind HBM too.
    pub async fn reset(&self, external: bool) -> Result<(), UpstreamError> {
        match self {
            Self::Grpc(connections) => connections.reset(external).await,
            Self::OpenAi(engine) => engine.reset(external).await,
        }
    }

    /// Ends requests by the router's names for them. Unknown names are no error.
    pub async fn abort(&self, ids: Vec<String>) -> Result<(), UpstreamError> {
        match self {
            Self::Grpc(connections) => connections.abort(ids).await,
            Self::OpenAi(engine) => {
                engine.abort(&ids);
                Ok(())
            }
        }
    }
}

/// A generate call that is ready to be sent.
#[derive(Debug)]
pub enum Prepared {
    Grpc(grpc::Prepared),
    OpenAi(openai::Prepared),
}

impl Prepared {
    /// Sends it. Returns when the worker has accepted the request.
    pub async fn send(self) -> Result<UpstreamAnswer, UpstreamError> {
        match self {
            Self::Grpc(prepared) => prepared.send().await.map(UpstreamAnswer::Grpc),
            Self::OpenAi(prepared) => prepared.send().await.map(UpstreamAnswer::OpenAi),
        }
    }
}

/// A worker's answer, message by message. After an error the stream must not be polled again.
#[derive(Debug)]
pub enum UpstreamAnswer {
    Grpc(grpc::Answer),
    OpenAi(openai::Answer),
}

impl Stream for UpstreamAnswer {
    type Item = Result<AnswerPart, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Grpc(answer) => Pin::new(answer).poll_next(cx),
            Self::OpenAi(answer) => Pin::new(answer).poll_next(cx),
        }
    }
}
