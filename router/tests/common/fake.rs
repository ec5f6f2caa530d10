//! A worker that answers what it is told to, byte for byte.

#![allow(dead_code)] // Each test file uses its part of this.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::{Extensions, Request, Response, Status};
use warmpath_core::event::{PrefillCost, Role, Snapshot, WorkerInfo};
use warmpath_core::id::WorkerId;
use warmpath_proto::control::{ControlService, Controlled};
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::raw::Bytes;
use warmpath_proto::raw::inference_server::{Inference, InferenceServer};
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::worker_state_server::{WorkerState, WorkerStateServer};
use warmpath_proto::v1::{Heartbeat, WatchRequest, WatchResponse};
use warmpath_proto::vllm::control_server::ControlServer;
use warmpath_proto::{convert, vllm};

#[derive(Clone, Default)]
pub struct Fake {
    /// Of every answer, and the time between two of them.
    pub messages: Arc<Vec<Bytes>>,
    pub pace: Duration,
    /// While it is held nothing is accepted.
    pub gate: Arc<RwLock<()>>,
    pub requests: Arc<Mutex<Vec<Bytes>>>,
    pub aborted: Arc<Mutex<Vec<String>>>,
    pub role: Role,
    /// Blocks that it says fit into its HBM.
    pub total_blocks: Option<u64>,
    /// Requests that it says it takes at the same time. None: 8.
    pub seats: Option<u32>,
    /// It refuses each request as one that no retry makes smaller.
    pub refuses: bool,
    /// Its feed says nothing more, while its connections stay.
    pub silent: Arc<AtomicBool>,
}

type Messages<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    /// Serves until the process ends; gives back its URL.
    pub async fn serve(&self, speedup: f64) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (role, total_blocks, seats) = (self.role, self.total_blocks, self.seats.unwrap_or(8));
        let silent = Arc::clone(&self.silent);
        let state = State { speedup, role, total_blocks, seats, silent };
        let routes = Routes::default()
            .add_service(InferenceServer::new(self.clone()).max_decoding_message_size(16 << 20))
            .add_service(ControlServer::new(ControlService(Arc::new(self.clone()))))
            .add_service(WorkerStateServer::new(state));
        let never = std::future::pending();
        tokio::spawn(listening::serve(listener, Listening::fleet(routes, None), never));
        url
    }

    pub async fn is_asked(&self) {
        while self.requests.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn is_told_to_abort(&self) {
        while self.aborted.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tonic::async_trait]
impl Inference for Fake {
    /// Only a prompt that another answers is asked for like this.
    async fn generate(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        self.requests.lock().unwrap().push(request.into_inner());
        drop(self.gate.read().await);
        Err(Status::unimplemented("it computes nothing"))
    }

    type GenerateStreamStream = Messages<Bytes>;

    async fn generate_stream(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Self::GenerateStreamStream>, Status> {
        self.requests.lock().unwrap().push(request.into_inner());
        drop(self.gate.read().await);
        if self.refuses {
            return Err(Status::invalid_argument("request too large for its worker"));
        }
        let messages = (0..self.messages.len()).map({
            let messages = Arc::clone(&self.messages);
            move |i| Ok(messages[i].clone())
        });
        let messages = tokio_stream::iter(messages);
        Ok(Response::new(match self.pace {
            Duration::ZERO => Box::pin(messages),
            pace => Box::pin(messages.throttle(pace)),
        }))
    }
}

#[tonic::async_trait]
impl Controlled for Fake {
    fn speedup(&self) -> f64 {
        1.0
    }

    fn server_info(&self) -> vllm::ServerInfo {
        vllm::ServerInfo::default()
    }

    fn model(&self) -> Result<String, Status> {
        Ok("m".to_owned())
    }

    async fn abort(&self, _: &Extensions, request_ids: &[String]) -> Result<(), Status> {
        self.aborted.lock().unwrap().extend_from_slice(request_ids);
        Ok(())
    }
}

/// A worker that holds nothing and goes on living.
struct State {
    speedup: f64,
    role: Role,
    total_blocks: Option<u64>,
    seats: u32,
    silent: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl WorkerState for State {
    type WatchStream = Messages<WatchResponse>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let info = WorkerInfo {
            worker: WorkerId(0),
            epoch: 1,
            block_size: 16,
            total_blocks: self.total_blocks,
            constant_blocks: 0,
            max_num_seqs: self.seats,
            prefill: PrefillCost {
                step_ns: 1.0,
                floor_ns: 0.0,
                chunk_tokens: 64,
                ns_per_token: 1.0,
                ns_per_pair: 0.0,
            },
            tiers: Vec::new(),
            pool: None,
            peers: None,
            role: self.role,
            decode: None,
        };
        let snapshot = Snapshot { source: WorkerId(0).into(), epoch: 1, seq: 0, runs: Vec::new() };
        let mut opening = vec![Message::Hello(convert::hello_to_wire(&info, "m", self.speedup))];
        opening.extend(convert::snapshot_to_wire(&snapshot).into_iter().map(Message::Snapshot));
        let beat = || Message::Heartbeat(Heartbeat { epoch: 1, seq: 0 });
        let beats = tokio_stream::iter(std::iter::repeat_with(beat));
        let silent = Arc::clone(&self.silent);
        let beats = beats.throttle(Duration::from_millis(200));
        let beats = beats.filter(move |_| !silent.load(Ordering::Relaxed));
        let feed = tokio_stream::iter(opening).chain(beats);
        Ok(Response::new(Box::pin(feed.map(|message| Ok(convert::response(message))))))
    }
}
