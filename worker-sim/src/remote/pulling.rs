//! KV from prefill workers.

use super::grpc::KvTransfers;
use super::outbox::WantedPull;
use crate::command::Command;
use crate::config::WorkerConfig;
use crate::turns::Commands;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use warmpath_core::engine::FetchError;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::id::RequestId;
use warmpath_core::time::Duration as ModelDuration;
use warmpath_proto::clock::ModelClock;
use warmpath_proto::transfer::{Moved, Remote};
use warmpath_proto::transport::Dialling;

/// The prompts that prefill workers hold for this worker.
#[derive(Debug)]
pub struct Puller {
    link: Option<KvTransferLink>,
    clock: ModelClock,
    /// Where the prompts of requests under way are held.
    remotes: Mutex<HashMap<RequestId, Remote>>,
    transfers: KvTransfers,
}

impl Puller {
    pub fn new(config: &WorkerConfig, how: Dialling) -> Arc<Self> {
        Arc::new(Self {
            link: config.kv_transfer,
            clock: ModelClock::starting_now(config.speedup),
            remotes: Mutex::default(),
            transfers: KvTransfers::new(&config.agreement(), how),
        })
    }

    /// Notes where a request's prompt is held. The engine asks for it later.
    pub fn expect(&self, id: RequestId, remote: Remote) {
        self.remotes().insert(id, remote);
    }

    /// Forgets a request that was not pulled.
    pub fn forget(&self, id: RequestId) -> Option<Remote> {
        self.remotes().remove(&id)
    }

    /// Pulls the KV of a request. Returns the model time until it is here, and what came. The
    /// engine gives up by itself at the same limit.
    async fn pull(&self, id: RequestId, tokens: u32) -> Result<(ModelDuration, Moved), FetchError> {
        let remote = self.forget(id).ok_or(FetchError::Missing)?;
        let link = self.link.ok_or(FetchError::Gone)?;
        let limit = ModelDuration::from_nanos_f64(link.timeout_ms * 1e6);
        let limit = self.clock.wall_span(limit);
        let (sent_after, moved) = self.transfers.pull(remote, tokens, limit).await?;
        Ok((sent_after + link.latency(), moved))
    }

    fn remotes(&self) -> MutexGuard<'_, HashMap<RequestId, Remote>> {
        self.remotes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the pulls, side by side.
pub async fn pull_all(
    puller: Arc<Puller>,
    mut wanted: UnboundedReceiver<WantedPull>,
    commands: Commands<Command>,
) {
    let mut calls = JoinSet::new();
    while let Some((at, id, tokens)) = wanted.recv().await {
        while calls.try_join_next().is_some() {}
        let (puller, commands) = (Arc::clone(&puller), commands.clone());
        calls.spawn(async move {
            let pulled = puller.pull(id, tokens).await;
            // Counted from the instant of the wish: the time that the call itself took is not model
            // time.
            let came = pulled.map(|(after, moved)| (at + after, moved));
            // Fails only when the engine has stopped.
            let _ = commands.send(Command::Handed { id, came });
        });
    }
}
