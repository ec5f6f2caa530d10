//! An engine that runs, as its client sees it over vLLM's gRPC.

use super::grid::answer;
use crate::generate;
use anyhow::{Context, Result, anyhow};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use warmpath_core::tokens::{Segment, materialize};
use warmpath_proto::transport;
use warmpath_proto::vllm::inference_client::InferenceClient;
use warmpath_proto::vllm::{GenerateRequest, GenerateResponse};

/// A connection, and texts that no request had before.
#[derive(Debug)]
pub struct Engine {
    client: InferenceClient<Channel>,
    seed: u64,
    texts: u64,
}

/// A prompt's first token.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub first_token_ms: f64,
    /// Prompt tokens that the engine had.
    pub cached: u32,
}

/// Sequences that decoded side by side.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The mean time of a step, as each sequence saw it.
    pub step_ms: Vec<f64>,
    /// The mean context of the sequences when the timing began.
    pub context: u32,
}

impl Engine {
    pub fn connect(worker: &str, seed: u64) -> Result<Self> {
        let channel = transport::channel(worker).with_context(|| worker.to_owned())?;
        let client = InferenceClient::new(channel)
            .max_decoding_message_size(transport::MAX_GENERATE_BYTES)
            .max_encoding_message_size(transport::MAX_GENERATE_BYTES);
        Ok(Self { client, seed, texts: 0 })
    }

    /// Has a prefix computed, so that it is cached.
    pub async fn fill(&mut self, prefix: u32) -> Result<()> {
        let text = [self.prefix(prefix)];
        let request = self.request(&text, 1);
        self.first_token(request).await.map(|_| ())
    }

    /// The time to the first token of a new text behind a prefix.
    pub async fn time_prompt(&mut self, prefix: u32, new: u32) -> Result<Timed> {
        let text = [self.prefix(prefix), self.new_text(new)];
        let request = self.request(&text, 1);
        self.first_token(request).await
    }

    /// The time of a step in which `batch` sequences decode behind `context` tokens each: of the next `steps`
    /// tokens of every sequence, once all have begun.
    pub async fn time_batch(&mut self, batch: u32, context: u32, steps: u32) -> Result<Decoded> {
        // All streams are read all the time, so that no message waits and none is timed by when it was read.
        let begun = Arc::new(AtomicU32::new(0));
        let mut timed = JoinSet::new();
        for _ in 0..batch {
            let text = [self.new_text(context)];
            let request = self.request(&text, answer(batch, context, steps));
            let (mut client, begun) = (self.client.clone(), Arc::clone(&begun));
            timed.spawn(async move {
                let mut stream = client.generate_stream(request).await?.into_inner();
                let mut before = next(&mut stream).await?;
                begun.fetch_add(1, Ordering::Relaxed);
                while begun.load(Ordering::Relaxed) < batch {
                    before += next(&mut stream).await?;
                }
                before += next(&mut stream).await?;
                let start = Instant::now();
                let mut made = 0;
                while made < steps {
                    made += next(&mut stream).await?;
                }
                // It is dropped with the others, so that none decodes alone while another is timed.
                let each_ms = start.elapsed().as_secs_f64() * 1e3 / f64::from(made);
                Ok::<_, Status>((each_ms, before, stream))
            });
        }
        let mut all = Vec::new();
        while let Some(one) = timed.join_next().await {
            all.push(one?.map_err(|status| failed(&status))?);
        }
        let made: u64 = all.iter().map(|(_, before, _)| u64::from(*before)).sum();
        let mean = (made / u64::from(batch.max(1))) as u32;
        Ok(Decoded { step_ms: all.iter().map(|one| one.0).collect(), context: context + mean })
    }

    async fn first_token(&mut self, request: GenerateRequest) -> Result<Timed> {
        let start = Instant::now();
        let response = self.client.generate_stream(request).await;
        let mut stream = response.map_err(|status| failed(&status))?.into_inner();
        let mut first_token_ms = None;
        while let Some(message) = stream.message().await.map_err(|status| failed(&status))? {
            let Some(output) = message.outputs else { continue };
            if output.num_tokens > 0 {
                first_token_ms.get_or_insert_with(|| start.elapsed().as_secs_f64() * 1e3);
            }
            if let Some(finish) = output.finish_info {
                let first_token_ms = first_token_ms
                    .ok_or_else(|| anyhow!("the engine ended an answer without a token"))?;
                return Ok(Timed { first_token_ms, cached: finish.num_cached_tokens.unwrap_or(0) });
            }
        }
        Err(anyhow!("the engine ended an answer without saying so"))
    }

    /// The text of the prefix with so many tokens; two of different lengths have nothing in common.
    const fn prefix(&self, tokens: u32) -> Segment {
        Segment::Text { seed: self.seed.wrapping_add(tokens as u64), tokens }
    }

    fn new_text(&mut self, tokens: u32) -> Segment {
        self.texts += 1;
        Segment::Text { seed: self.seed.wrapping_add((1 << 40) + self.texts), tokens }
    }

    fn request(&self, text: &[Segment], new: u32) -> GenerateRequest {
        let tokens = text.iter().map(Segment::tokens).sum();
        generate::exactly(materialize(text, tokens), new)
    }
}

/// The tokens of the next message that has any.
async fn next(stream: &mut Streaming<GenerateResponse>) -> Result<u32, Status> {
    while let Some(message) = stream.message().await? {
        let tokens = message.outputs.map_or(0, |output| output.num_tokens);
        if tokens > 0 {
            return Ok(tokens);
        }
    }
    Err(Status::data_loss("the answer ended while it was timed"))
}

fn failed(status: &Status) -> anyhow::Error {
    anyhow!("{:?}: {}", status.code(), status.message())
}
