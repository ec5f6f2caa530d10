//! What all fronts of one worker share: its configuration, the way to the engine's thread, and the
//! names of the requests under way.

use crate::command::{Command, Reset};
use crate::config::WorkerConfig;
use crate::kv_events::KvEvents;
use crate::refusal::Refusal;
use crate::remote::{Puller, Remote};
use crate::sending::Reply;
use crate::turns::Commands;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use warmpath_core::event::LoadReport;
use warmpath_core::id::RequestId;
use warmpath_core::time::Duration as ModelDuration;
use warmpath_proto::pool::Agreement;
use warmpath_proto::traces::Tracer;

/// How decode workers find this worker.
#[derive(Clone, Debug)]
pub struct Address {
    /// The worker's name and epoch. A restarted worker has another one.
    pub engine_id: String,
    /// None: it listens at all addresses; the router knows the right one.
    pub host: Option<String>,
    pub port: u16,
}

impl Address {
    pub fn new(config: &WorkerConfig, epoch: u64, listens: SocketAddr) -> Self {
        let host = (!listens.ip().is_unspecified()).then(|| listens.ip().to_string());
        Self { engine_id: format!("{}-{epoch}", config.name), host, port: listens.port() }
    }
}

/// One worker.
#[derive(Debug)]
pub struct WorkerState {
    pub config: WorkerConfig,
    /// One life of the worker; a restart has a higher one.
    pub epoch: u64,
    commands: Commands<Command>,
    pub remote: Arc<Remote>,
    pub puller: Arc<Puller>,
    pub address: Address,
    pub kv_events: Option<KvEvents>,
    pub tracer: Tracer,
    /// What another worker must have in common with this one to exchange blocks.
    pub agreement: Agreement,
    /// The worker shuts down and takes no new requests.
    pub draining: AtomicBool,
    next_id: AtomicU64,
    /// The clients' names of the requests under way.
    names: Mutex<HashMap<String, RequestId>>,
}

impl WorkerState {
    pub fn new(
        config: WorkerConfig,
        epoch: u64,
        commands: Commands<Command>,
        (remote, puller): (Arc<Remote>, Arc<Puller>),
        address: Address,
    ) -> Self {
        Self {
            agreement: config.agreement(),
            config,
            epoch,
            commands,
            remote,
            puller,
            address,
            kv_events: None,
            tracer: Tracer::default(),
            draining: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            names: Mutex::default(),
        }
    }

    /// It publishes KV events.
    #[must_use]
    pub fn with_kv_events(mut self, kv_events: Option<KvEvents>) -> Self {
        self.kv_events = kv_events;
        self
    }

    /// It records what its requests do.
    #[must_use]
    pub fn with_tracer(mut self, tracer: Tracer) -> Self {
        self.tracer = tracer;
        self
    }

    /// Sends a command to the engine's thread.
    pub fn send(&self, command: Command) -> Result<(), Refusal> {
        self.commands.send(command).map_err(|_| Refusal::Stopped)
    }

    /// Sends a command with a reply, and waits until the blocks or the KV have left. Returns the
    /// model time that took.
    pub async fn send_off(
        &self,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<ModelDuration, Refusal> {
        let (reply, sent) = oneshot::channel();
        self.send(command(reply))?;
        Ok(sent.await.map_err(|_| Refusal::Stopped)??)
    }

    /// Drops the cached blocks that no request holds; with `external` in all tiers.
    pub async fn reset(&self, external: bool) -> Result<Reset, Refusal> {
        let (reply, done) = oneshot::channel();
        self.send(Command::Reset { external, reply })?;
        done.await.map_err(|_| Refusal::Stopped)
    }

    /// How much there is to do.
    pub async fn load(&self) -> Result<LoadReport, Refusal> {
        let (reply, load) = oneshot::channel();
        self.send(Command::Load(reply))?;
        load.await.map_err(|_| Refusal::Stopped)
    }

    /// New work is refused while the worker drains.
    pub fn refuse_if_draining(&self) -> Result<(), Refusal> {
        match self.draining.load(Ordering::Acquire) {
            true => Err(Refusal::Draining(self.config.name.clone())),
            false => Ok(()),
        }
    }

    /// Ends the requests that their clients named so. Unknown names are no error.
    pub fn abort(&self, names: &[String]) -> Result<(), Refusal> {
        for name in names {
            let id = self.names().get(name).copied();
            match id {
                Some(id) => self.send(Command::Abort(id))?,
                // It may have ended, with its prompt held for a decode worker.
                None => self.send(Command::Release(name.clone()))?,
            }
        }
        Ok(())
    }

    /// A number for a new request, whose client named it so. An empty name is no name.
    pub fn register(&self, name: &str) -> Result<RequestId, Refusal> {
        let id = RequestId(self.next_id.fetch_add(1, Ordering::Relaxed));
        if !name.is_empty() {
            let mut names = self.names();
            if names.contains_key(name) {
                return Err(Refusal::NameInUse(name.to_owned()));
            }
            names.insert(name.to_owned(), id);
        }
        Ok(id)
    }

    /// Frees the name of a request that has ended.
    pub fn unregister(&self, name: &str) {
        if !name.is_empty() {
            self.names().remove(name);
        }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, RequestId>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
