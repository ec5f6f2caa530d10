//! The connections to one worker. Requests spread over several connections: when an HTTP/2
//! connection breaks, all its streams end. Control calls have a connection of their own, so they do
//! not wait behind prompts.

use super::answer::{Answer, Edit, failure, held_prompt, unreadable};
use super::message;
use crate::call::{Call, UpstreamError};
use crate::payload::HeldPrompt;
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::Request;
use tonic::transport::Channel;
use warmpath_proto::raw::inference_client::InferenceClient;
use warmpath_proto::raw::{Bytes, Peek};
use warmpath_proto::transport::MAX_GENERATE_BYTES;
use warmpath_proto::v1::ResetRequest;
use warmpath_proto::v1::worker_cache_client::WorkerCacheClient;
use warmpath_proto::vllm::AbortRequest;
use warmpath_proto::vllm::control_client::ControlClient;

/// By this vLLM reads the data-parallel rank that a request is for. No field of the message names it.
const RANK: &str = "x-data-parallel-rank";

/// The connections to one worker.
#[derive(Debug)]
pub struct Connections {
    url: String,
    /// The engine's data-parallel rank that requests name.
    rank: Option<u32>,
    requests: Vec<Channel>,
    control: Channel,
    next: AtomicUsize,
}

impl Connections {
    /// Each connection is made at its first use, and again after it breaks. `channel` makes one.
    pub fn new<E>(
        url: &str,
        rank: Option<u32>,
        connections: usize,
        channel: impl Fn() -> Result<Channel, E>,
    ) -> Result<Self, E> {
        let requests = (0..connections).map(|_| channel()).collect::<Result<_, _>>()?;
        let (url, next) = (url.to_owned(), AtomicUsize::new(0));
        Ok(Self { url, rank, requests, control: channel()?, next })
    }

    /// The channel for control calls; the worker's feed may use it too.
    pub fn control(&self) -> Channel {
        self.control.clone()
    }

    pub fn prepare(&self, call: Call<'_>) -> Prepared {
        let edit = Edit::of(&call);
        let mut message = message::generate(call);
        if let Some(rank) = self.rank {
            message.metadata_mut().insert(RANK, rank.into());
        }
        Prepared { client: self.client(), message, edit }
    }

    pub async fn prefill(&self, call: &Call<'_>) -> Result<HeldPrompt, UpstreamError> {
        let answer = self.client().generate(message::prefill(call)).await;
        let answer = answer.map_err(|status| failure(&status))?.into_inner();
        let finish = Peek::of(&answer).map_err(unreadable)?.finish();
        held_prompt(finish, &self.url)
    }

    /// vLLM must be told: it goes on computing when a stream is dropped.
    pub async fn abort(&self, request_ids: Vec<String>) -> Result<(), UpstreamError> {
        let mut control = ControlClient::new(self.control.clone());
        let aborted = control.abort(AbortRequest { request_ids }).await;
        aborted.map(drop).map_err(|status| failure(&status))
    }

    pub async fn reset(&self, external: bool) -> Result<(), UpstreamError> {
        let mut cache = WorkerCacheClient::new(self.control.clone());
        let done = cache.reset(ResetRequest { external }).await;
        done.map(drop).map_err(|status| failure(&status))
    }

    /// A client on the next connection in turn.
    fn client(&self) -> InferenceClient<Channel> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.requests.len();
        InferenceClient::new(self.requests[turn].clone())
            .max_decoding_message_size(MAX_GENERATE_BYTES)
            .max_encoding_message_size(MAX_GENERATE_BYTES)
    }
}

/// A message and the connection it will be sent on.
#[derive(Debug)]
pub struct Prepared {
    client: InferenceClient<Channel>,
    message: Request<Bytes>,
    edit: Edit,
}

impl Prepared {
    pub async fn send(mut self) -> Result<Answer, UpstreamError> {
        let answer = self.client.generate_stream(self.message).await;
        let answer = answer.map_err(|status| failure(&status))?.into_inner();
        Ok(Answer::new(answer, self.edit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{RequestBody, VllmRequest};
    use warmpath_proto::scope::ScopeHint;
    use warmpath_proto::transport;
    use warmpath_proto::vllm::GenerateRequest;

    #[tokio::test]
    async fn a_request_names_its_rank_if_there_are_several() {
        let url = "http://127.0.0.1:1";
        for (rank, named) in [(None, None), (Some(0), Some("0")), (Some(3), Some("3"))] {
            let connections = Connections::new(url, rank, 1, || transport::channel(url)).unwrap();
            let (fields, message) = (GenerateRequest::default(), Bytes::new());
            let call = Call {
                id: "r",
                salt: "",
                scope: &ScopeHint::default(),
                pull: None,
                held: None,
                body: &mut RequestBody::Vllm(VllmRequest { fields, message, wants_ids: false }),
                model: "m",
                prompt: &[1],
                answered: 0,
                ids: false,
                deadline: None,
                trace: None,
            };
            let prepared = connections.prepare(call);
            let told = prepared.message.metadata().get("x-data-parallel-rank");
            assert_eq!(told.map(|rank| rank.to_str().unwrap()), named);
        }
    }
}
