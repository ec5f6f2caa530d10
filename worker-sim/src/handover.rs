//! Prompts that are computed here and answered elsewhere, or the other way round: the service that
//! hands their KV over, the calls that pull it, and what the engine's thread remembers of both.
//!
//! Nothing here can fail a request: KV that does not come is computed.

use crate::config::WorkerConfig;
use crate::driver::Command;
use crate::inference::Shared;
use crate::lend::Reply;
use crate::recent::{MOST, Recent};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use warmpath_core::engine::handover::HandoverLink;
use warmpath_core::engine::{Engine, FetchError};
use warmpath_core::id::RequestId;
use warmpath_core::time::{Duration as ModelDuration, Instant};
use warmpath_proto::clock::ModelClock;
use warmpath_proto::transfer::{self, Moved, Remote};
use warmpath_proto::v1::handover_client::HandoverClient;
use warmpath_proto::v1::handover_server::Handover;
use warmpath_proto::v1::{self, PullRequest, PullResponse};
use warmpath_proto::{status, transport};

/// Names that may be remembered before those that are not held any more are looked for.
const SWEEP: usize = 64;

/// How this worker is known to those it hands over to.
#[derive(Clone, Debug)]
pub struct Address {
    pub engine_id: String,
    /// None: it listens everywhere, and a router knows better.
    host: Option<String>,
    port: u16,
}

impl Address {
    pub fn new(config: &WorkerConfig, epoch: u64, listens: SocketAddr) -> Self {
        let host = (!listens.ip().is_unspecified()).then(|| listens.ip().to_string());
        Self { engine_id: format!("{}-{epoch}", config.name), host, port: listens.port() }
    }

    /// Adds to a finish where its prompt is held.
    pub fn hold(&self, params: &mut prost_types::Struct, name: &str) {
        transfer::held(params, &self.engine_id, name, self.host.as_deref(), self.port);
    }
}

/// `warmpath.v1.Handover`: others pull what this worker computed for them.
#[derive(Clone, Debug)]
pub struct HandoverService(pub Arc<Shared>);

#[tonic::async_trait]
impl Handover for HandoverService {
    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        let shared = &self.0;
        let PullRequest { agreement, engine_id, request_id, tokens } = request.into_inner();
        shared.agreement.check(agreement.as_ref())?;
        if engine_id != shared.address.engine_id {
            let ours = &shared.address.engine_id;
            return Err(Status::not_found(format!(
                "engine_id is {engine_id} there, here it is {ours}"
            )));
        }
        let (reply, sent) = oneshot::channel();
        shared.send(Command::HandOver { name: request_id, tokens, reply })?;
        let sent = sent.await.map_err(|_| Status::unavailable("it has stopped"))?;
        let sent_after_ns = sent.map_err(status::from_fetch)?.as_nanos();
        let bytes = shared.config.profile.handover_bytes(tokens);
        Ok(Response::new(PullResponse { sent_after_ns, bytes }))
    }
}

/// What the engine's thread remembers of prompts that it computes for others.
#[derive(Debug, Default)]
pub struct Holding {
    /// What they are called, until they are computed.
    computing: HashMap<RequestId, String>,
    held: HashMap<String, RequestId>,
    swept: usize,
    waiting: HashMap<RequestId, (Instant, Reply)>,
}

impl Holding {
    pub fn compute(&mut self, id: RequestId, name: String) {
        self.computing.insert(id, name);
    }

    pub fn cancel(&mut self, id: RequestId) {
        self.computing.remove(&id);
    }

    pub fn computed(&mut self, id: RequestId, engine: &Engine) {
        let Some(name) = self.computing.remove(&id) else { return };
        self.held.insert(name, id);
        if self.held.len() > 2 * self.swept + SWEEP {
            self.held.retain(|_, &mut id| engine.holds(id));
            self.swept = self.held.len();
        }
    }

    /// Nobody will come for it.
    pub fn release(&mut self, name: &str) -> Option<RequestId> {
        self.held.remove(name)
    }

    /// Asks `engine` to send what is held under a name.
    pub fn hand_over(
        &mut self,
        now: Instant,
        name: &str,
        reply: Reply,
        begin: impl FnOnce(RequestId) -> Result<(), FetchError>,
    ) {
        let begun = self.held.remove(name).ok_or(FetchError::Missing);
        match begun.and_then(|id| begin(id).map(|()| id)) {
            Ok(id) => drop(self.waiting.insert(id, (now, reply))),
            // Whoever asked may have gone away.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Whether KV is on its way to somebody, or held for who may still come.
    pub fn is_wanted(&self, engine: &Engine) -> bool {
        !self.waiting.is_empty() || self.held.values().any(|&id| engine.holds(id))
    }

    pub fn left(&mut self, at: Instant, id: RequestId) {
        if let Some((asked, reply)) = self.waiting.remove(&id) {
            let _ = reply.send(Ok(at.since(asked)));
        }
    }
}

/// The calls for prompts that others have computed.
#[derive(Debug)]
pub struct Puller {
    agreement: v1::Agreement,
    link: Option<HandoverLink>,
    clock: ModelClock,
    /// Where the prompts of requests under way are held.
    remotes: Mutex<HashMap<RequestId, Remote>>,
    clients: Mutex<Recent<HandoverClient<Channel>>>,
}

impl Puller {
    pub fn new(config: &WorkerConfig) -> Arc<Self> {
        Arc::new(Self {
            agreement: config.agreement().to_wire(),
            link: config.handover,
            clock: ModelClock::starting_now(config.speedup),
            remotes: Mutex::default(),
            clients: Mutex::new(Recent::new(MOST)),
        })
    }

    pub fn expect(&self, id: RequestId, remote: Remote) {
        self.remotes.lock().unwrap_or_else(PoisonError::into_inner).insert(id, remote);
    }

    pub fn forget(&self, id: RequestId) -> Option<Remote> {
        self.remotes.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    fn client(&self, url: &str) -> Option<HandoverClient<Channel>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let made = clients.get_or_make(url, || transport::channel(url).map(HandoverClient::new));
        made.ok().map(|(client, _)| client)
    }

    /// After how much model time the KV is here, and what it came to. The engine gives up by itself when
    /// the time is over; a call that hangs is given up with it.
    async fn pull(&self, id: RequestId, tokens: u32) -> Result<(ModelDuration, Moved), FetchError> {
        let remote = self.forget(id).ok_or(FetchError::Missing)?;
        let link = self.link.ok_or(FetchError::Gone)?;
        let limit: Duration =
            self.clock.wall_span(ModelDuration::from_nanos_f64(link.timeout_ms * 1e6));
        let mut client = self.client(&remote.url()).ok_or(FetchError::Gone)?;
        let request = PullRequest {
            agreement: Some(self.agreement.clone()),
            engine_id: remote.engine_id,
            request_id: remote.request_id,
            tokens,
        };
        let answer = tokio::time::timeout(limit, client.pull(request));
        let answer = answer.await.map_err(|_| FetchError::Late)?;
        let answer = answer.map_err(|status| {
            tracing::debug!(%status, "a hand-over failed");
            status::to_fetch(&status)
        })?;
        let PullResponse { sent_after_ns, bytes } = answer.into_inner();
        let moved = Moved { tokens: u64::from(tokens), bytes };
        Ok((ModelDuration::from_nanos(sent_after_ns) + link.latency(), moved))
    }
}

/// What the engine's thread wants to be pulled: since when, for which request, and how many tokens. It
/// never waits.
pub type Pulls = UnboundedSender<(Instant, RequestId, u32)>;

pub type WantedPulls = UnboundedReceiver<(Instant, RequestId, u32)>;

/// Makes the calls until it is dropped.
pub async fn pull_all(puller: Arc<Puller>, mut wanted: WantedPulls, commands: Sender<Command>) {
    let mut calls = JoinSet::new();
    while let Some((at, id, tokens)) = wanted.recv().await {
        while calls.try_join_next().is_some() {}
        let (puller, commands) = (Arc::clone(&puller), commands.clone());
        calls.spawn(async move {
            let pulled = puller.pull(id, tokens).await;
            // Counted from when it was asked for: what the calls themselves took is no part of it.
            let came = pulled.map(|(after, moved)| (at + after, moved));
            // Fails only when the engine has stopped.
            let _ = commands.send(Command::Handed { id, came });
        });
    }
}
