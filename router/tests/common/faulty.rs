//! A real worker behind a server that breaks calls in every way a worker in trouble does. Its feed is sound.

#![allow(dead_code)] // Each test file uses its part of this.

use super::TestWorker;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Extensions, Request, Response, Status};
use warmpath_proto::control::{ControlService, Controlled};
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::raw::inference_client::InferenceClient;
use warmpath_proto::raw::inference_server::{Inference, InferenceServer};
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::transport;
use warmpath_proto::v1::worker_state_client::WorkerStateClient;
use warmpath_proto::v1::worker_state_server::{WorkerState, WorkerStateServer};
use warmpath_proto::v1::{WatchRequest, WatchResponse};
use warmpath_proto::vllm;
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::control_server::ControlServer;
use warmpath_worker_sim::WorkerConfig;

/// What is wrong with it. Messages are counted, not tokens.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Trouble {
    None,
    /// Every call fails at once.
    Fails,
    /// Calls whose prompts have this many tokens fail at once.
    FailsAt(usize),
    /// No call is accepted or refused.
    NoHeaders,
    /// Calls are accepted, and nothing follows.
    NoTokens,
    /// An answer breaks off with an error after so many messages.
    BreaksAfter(usize),
    /// An answer ends without an end after so many messages.
    EndsAfter(usize),
    /// An answer goes on no more after so many messages.
    StallsAfter(usize),
    /// The headers, and so the first token, come so much later.
    Late(Duration),
}

#[derive(Clone)]
pub struct Faulty {
    pub url: String,
    trouble: Arc<Mutex<Trouble>>,
    calls: Arc<AtomicUsize>,
    _worker: Arc<TestWorker>,
}

impl Faulty {
    /// Serves until the process ends.
    pub async fn start(config: WorkerConfig) -> Self {
        let worker = TestWorker::start(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let channel = transport::channel(&worker.url()).unwrap();
        let faulty = Self {
            url,
            trouble: Arc::new(Mutex::new(Trouble::None)),
            calls: Arc::default(),
            _worker: Arc::new(worker),
        };
        let passing = Passing { channel, of: faulty.clone() };
        let routes =
            Routes::new(InferenceServer::new(passing.clone()).max_decoding_message_size(16 << 20))
                .add_service(ControlServer::new(ControlService(Arc::new(passing.clone()))))
                .add_service(WorkerStateServer::new(passing));
        let listening = Listening::fleet(routes.prepare(), None);
        tokio::spawn(listening::serve(listener, listening, std::future::pending()));
        faulty
    }

    pub fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    /// Generate calls so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Passing {
    channel: Channel,
    of: Faulty,
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Inference for Passing {
    async fn generate(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        InferenceClient::new(self.channel.clone()).generate(request).await
    }

    type GenerateStreamStream = Messages<Bytes>;

    async fn generate_stream(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Self::GenerateStreamStream>, Status> {
        self.of.calls.fetch_add(1, Ordering::Relaxed);
        let trouble = *self.of.trouble.lock().unwrap();
        let dead = || Status::internal("the engine is dead");
        match trouble {
            Trouble::Fails => return Err(dead()),
            Trouble::FailsAt(tokens) if tokens == prompt_tokens(request.get_ref()) => {
                return Err(dead());
            }
            Trouble::NoHeaders => std::future::pending::<()>().await,
            Trouble::NoTokens => return Ok(Response::new(Box::pin(tokio_stream::pending()))),
            Trouble::Late(by) => tokio::time::sleep(by).await,
            _ => {}
        }
        let mut client = InferenceClient::new(self.channel.clone());
        let messages = client.generate_stream(request).await?.into_inner();
        Ok(Response::new(match trouble {
            Trouble::BreaksAfter(n) => {
                let end = tokio_stream::once(Err(dead()));
                Box::pin(messages.take(n).chain(end))
            }
            Trouble::EndsAfter(n) => Box::pin(messages.take(n)),
            Trouble::StallsAfter(n) => Box::pin(messages.take(n).chain(tokio_stream::pending())),
            _ => Box::pin(messages),
        }))
    }
}

fn prompt_tokens(request: &Bytes) -> usize {
    match raw::request(request).unwrap().prompt {
        Some(vllm::generate_request::Prompt::TokenIds(ids)) => ids.ids.len(),
        _ => 0,
    }
}

#[tonic::async_trait]
impl WorkerState for Passing {
    type WatchStream = Messages<WatchResponse>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let feed = WorkerStateClient::new(self.channel.clone())
            .max_decoding_message_size(transport::MAX_FEED_BYTES)
            .watch(request)
            .await?;
        Ok(feed.map(|feed| Box::pin(feed) as Messages<_>))
    }
}

#[tonic::async_trait]
impl Controlled for Passing {
    fn speedup(&self) -> f64 {
        super::SPEEDUP
    }

    fn server_info(&self) -> vllm::ServerInfo {
        vllm::ServerInfo::default()
    }

    fn model(&self) -> Result<String, Status> {
        Ok("simulated".to_owned())
    }

    async fn abort(&self, _: &Extensions, request_ids: &[String]) -> Result<(), Status> {
        let request_ids = request_ids.to_vec();
        let mut control = ControlClient::new(self.channel.clone());
        control.abort(vllm::AbortRequest { request_ids }).await.map(drop)
    }
}
