//! vLLM's gRPC.

use super::ask::{Ask, Ended, Heard, OVERHEAD, WORKER, worker_of};
use crate::generate;
use anyhow::{Context, Result};
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use warmpath_core::id::ORIGINS;
use warmpath_core::report::Cached;
use warmpath_core::tokens::TokenStream;
use warmpath_proto::vllm::inference_client::InferenceClient;
use warmpath_proto::vllm::{
    FinishInfo, GenerateRequest, TokenIds, finish_info::FinishReason, generate_request::Prompt,
};
use warmpath_proto::{tiers, transfer};

const WINDOW: u32 = 64 << 20;

pub async fn connect(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .with_context(|| format!("--target: {url}"))?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW / 8);
    let channel = endpoint.connect().await;
    channel.with_context(|| format!("cannot reach the router at {url}"))
}

/// A message that is ready to be sent.
#[derive(Debug)]
pub struct Prepared {
    request: tonic::Request<GenerateRequest>,
    /// The answer's tokens, if they are checked.
    expected: Option<TokenStream>,
    output_tokens: u32,
}

impl Prepared {
    pub fn new(ask: &Ask<'_>) -> Self {
        let work = ask.work;
        let ids = work.text.token_ids(work.request.prompt.tokens());
        let request = GenerateRequest {
            request_id: ask.name.to_owned(),
            session_id: work.request.session.map(|session| session.to_string()),
            priority: work.request.priority,
            ..generate::exactly(ids, work.output_tokens)
        };
        let expected = ask.check_tokens.then(|| {
            let mut stream = TokenStream::default();
            if let Some(Prompt::TokenIds(TokenIds { ids })) = &request.prompt {
                stream.extend(ids);
            }
            stream
        });
        let request = ask.identities.sign(work.request.tenant, request);
        Self { request, expected, output_tokens: work.output_tokens }
    }

    pub async fn send(self, channel: Channel, heard: &impl Heard) -> Result<Ended, Status> {
        let Self { request, mut expected, output_tokens } = self;
        let mut client = InferenceClient::new(channel);
        let response = client.generate_stream(request).await?;
        let header = |name| response.metadata().get(name)?.to_str().ok();
        let worker = header(WORKER).and_then(worker_of);
        if let Some(worker) = worker {
            heard.placed(worker);
        }
        let overhead_ns = header(OVERHEAD).and_then(|text| text.parse::<u64>().ok());
        let mut stream = response.into_inner();
        let mut tokens = 0;
        while let Some(message) = stream.message().await? {
            let Some(output) = message.outputs else { continue };
            if tokens == 0 && output.num_tokens > 0 {
                heard.first_token(overhead_ns);
            }
            tokens += output.num_tokens;
            if let Some(expected) = &mut expected {
                check_tokens(expected, output.num_tokens, &output.token_ids)?;
            }
            let Some(finish) = output.finish_info else { continue };
            if finish.finish_reason() == FinishReason::Aborted {
                return Err(Status::aborted("the engine aborted the request"));
            }
            if tokens != finish.num_output_tokens || tokens == 0 {
                return Err(Status::data_loss(format!(
                    "{tokens} tokens arrived, expected {} as the engine counts",
                    finish.num_output_tokens
                )));
            }
            if tokens != output_tokens {
                return Err(Status::data_loss(format!(
                    "{tokens} tokens arrived, expected {output_tokens} as requested"
                )));
            }
            let (cached, tier_names) = found(&finish);
            let moved = finish.kv_transfer_params.as_ref().and_then(transfer::moved_of);
            return Ok(Ended { worker, cached, tier_names, moved });
        }
        Err(Status::data_loss(format!("the stream ended after {tokens} tokens without a finish")))
    }
}

/// The cached tokens and the names of the tiers that the worker reports.
fn found(finish: &FinishInfo) -> (Cached, Vec<String>) {
    let tokens = finish.num_cached_tokens.unwrap_or(0);
    let mut cached = Cached { tokens, by_tier: [0; ORIGINS] };
    let found = finish.kv_transfer_params.as_ref().and_then(tiers::from_wire);
    if let Some(found) = &found {
        cached.by_tier = found.by_origin;
    }
    (cached, found.map_or_else(Vec::new, |found| found.tiers))
}

fn check_tokens(expected: &mut TokenStream, count: u32, ids: &[u32]) -> Result<(), Status> {
    if ids.len() != count as usize {
        return Err(Status::data_loss(format!(
            "{} token ids arrived, expected {count} as announced",
            ids.len()
        )));
    }
    for &id in ids {
        let token = expected.generate();
        if id != token {
            return Err(Status::data_loss(format!("token {id} arrived, expected {token}")));
        }
    }
    Ok(())
}
