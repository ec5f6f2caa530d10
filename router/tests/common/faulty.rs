//! A real worker behind a server that breaks calls in every way a worker in trouble does. Its feed is sound.

#![allow(dead_code)] // Each test file uses its part of this.

use super::TestWorker;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
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
use warmpath_proto::watched::Watched;
use warmpath_worker_sim::WorkerConfig;

/// What is wrong with it. Messages are counted, not tokens. Calls that wait for ever fail when something else is
/// wrong with it, or nothing.
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
    /// The message of this number, counted from 1, is lost, and all else is as it should be.
    Loses(usize),
}

#[derive(Clone)]
pub struct Faulty {
    pub url: String,
    passing: Passing,
    _worker: Arc<TestWorker>,
}

impl Faulty {
    /// Serves until the process ends.
    pub async fn start(config: WorkerConfig) -> Self {
        let worker = TestWorker::start(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let channel = transport::channel(&worker.url()).unwrap();
        let passing = Passing::new(channel, Arc::new(|feed| feed));
        let listening = passing.listening();
        tokio::spawn(listening::serve(listener, listening, std::future::pending()));
        Self { url, passing, _worker: Arc::new(worker) }
    }

    pub fn set(&self, trouble: Trouble) {
        self.passing.set(trouble);
    }

    /// Generate calls so far.
    pub fn calls(&self) -> usize {
        self.passing.calls.load(Ordering::Relaxed)
    }
}

/// What breaks the calls. Clones are the same one.
#[derive(Clone)]
pub struct Passing {
    channel: Channel,
    trouble: Arc<Watched<Trouble>>,
    calls: Arc<AtomicUsize>,
    feed: Feed,
}

pub type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// What becomes of the worker's feed.
pub type Feed = Arc<dyn Fn(Messages<WatchResponse>) -> Messages<WatchResponse> + Send + Sync>;

impl Passing {
    /// In front of the worker at the other end.
    pub fn new(channel: Channel, feed: Feed) -> Self {
        let trouble = Arc::new(Watched::new(Trouble::None));
        Self { channel, trouble, calls: Arc::default(), feed }
    }

    pub fn set(&self, trouble: Trouble) {
        self.trouble.replace(trouble);
    }

    pub fn listening(&self) -> Listening {
        let inference = InferenceServer::new(self.clone()).max_decoding_message_size(16 << 20);
        let routes = Routes::new(inference)
            .add_service(ControlServer::new(ControlService(Arc::new(self.clone()))))
            .add_service(WorkerStateServer::new(self.clone()));
        Listening::fleet(routes.prepare(), None)
    }
}

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
        self.calls.fetch_add(1, Ordering::Relaxed);
        let trouble = *self.trouble.borrow();
        let mut watcher = self.trouble.watch();
        let changed = async move { watcher.changed().await };
        match trouble {
            Trouble::Fails => return Err(dead()),
            Trouble::FailsAt(tokens) if tokens == prompt_tokens(request.get_ref()) => {
                return Err(dead());
            }
            Trouble::NoHeaders => {
                changed.await;
                return Err(dead());
            }
            Trouble::NoTokens => return Ok(Response::new(Box::pin(later(changed)))),
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
            Trouble::StallsAfter(n) => Box::pin(messages.take(n).chain(later(changed))),
            Trouble::Loses(n) => {
                let mut number = 0;
                Box::pin(messages.filter(move |_| {
                    number += 1;
                    number != n
                }))
            }
            _ => Box::pin(messages),
        }))
    }
}

fn dead() -> Status {
    Status::internal("the engine is dead")
}

/// An error, when the work is done.
fn later(work: impl Future<Output = ()> + Send + 'static) -> Messages<Bytes> {
    let mut work = Some(Box::pin(work));
    Box::pin(OnceLater(move |cx: &mut Context<'_>| {
        if let Some(work) = &mut work {
            std::task::ready!(work.as_mut().poll(cx));
        }
        Poll::Ready(work.take().map(|_| Err(dead())))
    }))
}

struct OnceLater<F>(F);

impl<T, F: FnMut(&mut Context<'_>) -> Poll<Option<T>> + Unpin> Stream for OnceLater<F> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        (self.0)(cx)
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
        Ok(feed.map(|feed| (self.feed)(Box::pin(feed))))
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
