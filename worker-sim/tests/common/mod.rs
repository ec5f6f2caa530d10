//! A worker over a real socket, in this process.

#![allow(dead_code)] // Each test file uses its part of this.

use std::future::Future;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;
use warmpath_core::engine::profile::{LinearStep, Profile, StepTime};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::tokens::{Segment, materialize};
use warmpath_proto::transport;
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::inference_client::InferenceClient;
use warmpath_proto::vllm::{
    GenerateRequest, GenerateResponse, ResponseOptions, StoppingCriteria, TokenIds,
    generate_request::Prompt,
};
use warmpath_worker_sim::{ServeError, WorkerConfig};

pub const BLOCK: u32 = 16;
pub const LIMIT: Duration = Duration::from_secs(30);

/// 10 ms a decode step, 50 µs a prompt token.
pub fn config(speedup: f64) -> WorkerConfig {
    let profile = Profile {
        name: "test".into(),
        validated: false,
        block_size: BLOCK,
        hbm_tokens: None,
        kv_bytes_per_token: 100_000,
        max_num_seqs: 64,
        max_num_batched_tokens: 2_048,
        step: StepTime::Linear(LinearStep {
            base_ns: 4e6,
            weights_ns: 6e6,
            ns_per_token: 5e4,
            ns_per_pair: 1.0,
            ns_per_context_token: 0.0,
            ns_per_seq: 0.0,
        }),
        eviction: EvictionRule::Lru,
        tiers: Vec::new(),
        pool: None,
        peers: None,
    };
    WorkerConfig { speedup, ..WorkerConfig::new(profile) }
}

pub struct Worker {
    pub url: String,
    pub channel: Channel,
    pub stop: watch::Sender<bool>,
    pub served: JoinHandle<Result<(), ServeError>>,
}

impl Worker {
    pub async fn start(config: WorkerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, mut stopped) = watch::channel(false);
        let served = tokio::spawn(warmpath_worker_sim::serve(listener, config, async move {
            let _ = stopped.wait_for(|&stop| stop).await;
        }));
        Self { channel: transport::channel(&url).unwrap(), url, stop, served }
    }

    pub fn inference(&self) -> InferenceClient<Channel> {
        InferenceClient::new(self.channel.clone())
    }

    pub fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone())
    }
}

pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("in time")
}

pub fn request(seed: u64, tokens: u32, max_new_tokens: u32) -> GenerateRequest {
    let ids = materialize(&[Segment::Text { seed, tokens }], tokens);
    GenerateRequest {
        prompt: Some(Prompt::TokenIds(TokenIds { ids })),
        stopping: Some(StoppingCriteria { max_new_tokens, ..Default::default() }),
        response: Some(ResponseOptions { output_token_ids: true, ..Default::default() }),
        ..Default::default()
    }
}

pub async fn responses(
    mut client: InferenceClient<Channel>,
    request: GenerateRequest,
) -> Result<Vec<GenerateResponse>, Status> {
    within(async {
        let mut stream = client.generate_stream(request).await?.into_inner();
        let mut all = Vec::new();
        while let Some(response) = stream.message().await? {
            all.push(response);
        }
        Ok(all)
    })
    .await
}

pub fn tokens(responses: &[GenerateResponse]) -> Vec<u32> {
    let outputs = responses.iter().filter_map(|response| response.outputs.as_ref());
    outputs.flat_map(|outputs| outputs.token_ids.iter().copied()).collect()
}
