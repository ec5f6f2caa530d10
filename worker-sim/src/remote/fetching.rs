//! Blocks from the pool and from peers: what they offer, fetching it, and putting blocks into the
//! pool.

use super::grpc::BlockHolder;
use super::outbox::{WantedFetch, WantedPut};
use super::peers::Peers;
use crate::command::Command;
use crate::config::WorkerConfig;
use crate::metrics::RemoteMetrics;
use crate::recent::MOST;
use crate::turns::Commands;
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::task::JoinSet;
use warmpath_core::block::TokenBlocks;
use warmpath_core::engine::FetchError;
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::store::{Fetch, Offer};
use warmpath_core::id::{PoolId, SourceId};
use warmpath_core::time::Duration as ModelDuration;
use warmpath_proto::clock::ModelClock;
use warmpath_proto::hints::{Holder, PullHint};
use warmpath_proto::pool::Agreement;
use warmpath_proto::transport::Dialling;

/// This worker's number for its pool.
const POOL: PoolId = PoolId(0);

/// The longest wall time that a request waits for the pool's look-up.
const LOOKUP_LIMIT: Duration = Duration::from_millis(50);
/// The longest wall time for the pool to accept a put.
const PUT_LIMIT: Duration = Duration::from_secs(1);

/// A worker's pool and peers.
#[derive(Debug)]
pub struct Remote {
    profile: Profile,
    clock: ModelClock,
    agreement: Agreement,
    pool: Option<Arc<BlockHolder>>,
    peers: Mutex<Peers>,
    metrics: RemoteMetrics,
}

impl Remote {
    /// The configuration must have been checked. An error says what is wrong with the pool's URL.
    pub fn new(config: &WorkerConfig, how: &Dialling) -> Result<Arc<Self>, String> {
        let agreement = config.agreement();
        let pool = config.pool.as_ref().map(|url| BlockHolder::new(url, &agreement, how));
        Ok(Arc::new(Self {
            profile: config.profile.clone(),
            clock: ModelClock::starting_now(config.speedup),
            agreement,
            pool: pool.transpose()?,
            peers: Mutex::new(Peers::new(MOST, how.clone())),
            metrics: RemoteMetrics::new(&config.name),
        }))
    }

    /// What others offer of a prompt: the pool, and the peer that the router names.
    pub async fn offers(
        &self,
        prompt: &TokenBlocks,
        hint: Option<&PullHint>,
    ) -> SmallVec<[Offer; 2]> {
        let mut offers = SmallVec::new();
        offers.extend(self.pool_offer(prompt).await);
        if let Some(hint) = hint.filter(|hint| hint.holder == Holder::Peer) {
            offers.extend(self.peer_offer(hint, prompt));
        }
        offers
    }

    async fn pool_offer(&self, prompt: &TokenBlocks) -> Option<Offer> {
        let pool = self.pool.as_ref()?;
        let end = prompt.reusable_blocks();
        if end == 0 || pool.is_away() {
            return None;
        }
        let limit = self.wall(self.profile.fetch_timeout(POOL.into())).min(LOOKUP_LIMIT);
        let holds = pool.lookup(prompt.chain(), end, limit).await?;
        self.profile.pool_offer(POOL, holds.blocks.min(end), holds.ns_per_block)
    }

    fn peer_offer(&self, hint: &PullHint, prompt: &TokenBlocks) -> Option<Offer> {
        self.profile.peers?;
        let (number, peer) = self.peers().at(&hint.from, &self.agreement)?;
        if peer.is_away() {
            return None;
        }
        self.profile.peer_offer(number, hint.blocks.min(prompt.reusable_blocks()))
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self, id: SourceId) -> Option<Arc<BlockHolder>> {
        match id {
            SourceId::Pool(_) => self.pool.clone(),
            SourceId::Worker(number) => self.peers().get(number),
        }
    }

    /// Fetches blocks. Returns the model time until the last byte left. The engine gives up by
    /// itself at the same limit; a result that comes a little later does no harm, and tells late
    /// from lost.
    async fn fetch(&self, fetch: &Fetch) -> Result<ModelDuration, FetchError> {
        let holder = self.holder(fetch.from).ok_or(FetchError::Gone)?;
        holder.get(&fetch.run, self.wall(self.profile.fetch_timeout(fetch.from))).await
    }

    /// The latency from a source to here. The time on its link is not in it.
    fn latency(&self, from: SourceId) -> ModelDuration {
        let cost = match from {
            SourceId::Pool(_) => self.profile.pool_cost(),
            SourceId::Worker(_) => self.profile.peer_cost(),
        };
        ModelDuration::from_nanos_f64(cost.map_or(0.0, |cost| cost.latency_ns))
    }

    fn wall(&self, span: ModelDuration) -> Duration {
        self.clock.wall_span(span)
    }
}

/// Makes the fetches, side by side.
pub async fn fetch_all(
    remote: Arc<Remote>,
    mut wanted: UnboundedReceiver<WantedFetch>,
    commands: Commands<Command>,
) {
    let mut calls = JoinSet::new();
    while let Some((at, fetch)) = wanted.recv().await {
        while calls.try_join_next().is_some() {}
        let (remote, commands) = (Arc::clone(&remote), commands.clone());
        calls.spawn(async move {
            let result = remote.fetch(&fetch).await;
            remote.metrics.fetched(fetch.from, fetch.run.len(), result.err());
            // Counted from the instant of the wish: the time that the call itself took is not model
            // time.
            let due = result.map(|sent_after| at + sent_after + remote.latency(fetch.from));
            // Fails only when the engine has stopped.
            let _ = commands.send(Command::Fetched { id: fetch.id, due });
        });
    }
}

/// Puts blocks into the pool, one call after the other. Without a pool nothing is ever put.
pub async fn put_all(remote: Arc<Remote>, mut wanted: Receiver<WantedPut>) {
    let Some(pool) = remote.pool.clone() else { return };
    while let Some(put) = wanted.recv().await {
        let taken = pool.put(&put, PUT_LIMIT).await;
        remote.metrics.put(put.0.len(), taken);
    }
}
