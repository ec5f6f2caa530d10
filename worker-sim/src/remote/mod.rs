//! What others have for this worker: the pool that it shares, and its peers.
//!
//! - `source`: one of them, and whether it is worth asking.
//!
//! The engine's thread says what it wants and goes on; the calls are made here, and what comes of them
//! goes back to it as a command. Nothing here can fail a request: what does not come is computed.

mod source;

use crate::config::WorkerConfig;
use crate::driver::Command;
use crate::metrics::{RemoteMetrics, dropped_puts};
use crate::recent::{MOST, Recent};
use metrics::Counter;
use smallvec::SmallVec;
use source::Source;
use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use warmpath_core::block::{BlockRun, TokenBlocks};
use warmpath_core::engine::FetchError;
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::store::{Fetch, Offer};
use warmpath_core::id::{PoolId, SourceId, WorkerId};
use warmpath_core::request::Owner;
use warmpath_core::time::{Duration as ModelDuration, Instant};
use warmpath_proto::clock::ModelClock;
use warmpath_proto::convert;
use warmpath_proto::hints::{Holder, PullHint};
use warmpath_proto::v1::Agreement;

/// What this worker calls its pool.
pub const POOL: PoolId = PoolId(0);

/// Wall time that a request waits at most to hear what the pool has.
const LOOKUP_LIMIT: Duration = Duration::from_millis(50);
/// Wall time for a pool to take note of blocks.
const PUT_LIMIT: Duration = Duration::from_secs(1);
/// Puts that may wait. Where they come faster than the pool answers, the rest is dropped.
const PUTS: usize = 256;

/// A worker's way to others.
#[derive(Debug)]
pub struct Remote {
    profile: Profile,
    clock: ModelClock,
    agreement: Agreement,
    pool: Option<Arc<Source>>,
    peers: Mutex<Peers>,
    metrics: RemoteMetrics,
}

/// Peers have numbers here, which are never given again: what the engine asks of one that was forgotten
/// since fails.
#[derive(Debug)]
struct Peers {
    next: u32,
    recent: Recent<(WorkerId, Arc<Source>)>,
    by_number: HashMap<WorkerId, Arc<Source>>,
}

impl Peers {
    fn new(most: usize) -> Self {
        Self { next: 0, recent: Recent::new(most), by_number: HashMap::new() }
    }

    fn at(&mut self, url: &str, agreement: &Agreement) -> Option<(WorkerId, Arc<Source>)> {
        let number = WorkerId(self.next);
        let make = || Source::new(url, agreement.clone()).map(|peer| (number, peer));
        let (peer, forgotten) = self.recent.get_or_make(url, make).ok()?;
        if let Some((number, _)) = forgotten {
            self.by_number.remove(&number);
        }
        if peer.0 == number {
            self.next += 1;
            self.by_number.insert(number, Arc::clone(&peer.1));
        }
        Some(peer)
    }
}

impl Remote {
    /// The configuration must have been checked.
    pub fn new(config: &WorkerConfig) -> Result<Arc<Self>, tonic::transport::Error> {
        let agreement = config.agreement().to_wire();
        let pool = config.pool.as_ref().map(|url| Source::new(url, agreement.clone()));
        Ok(Arc::new(Self {
            profile: config.profile.clone(),
            clock: ModelClock::starting_now(config.speedup),
            agreement,
            pool: pool.transpose()?,
            peers: Mutex::new(Peers::new(MOST)),
            metrics: RemoteMetrics::new(config),
        }))
    }

    /// What the engine is to be told of a prompt: what the pool has, and what the router named.
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
        let held = pool.lookup(convert::prompt_to_wire(prompt.chain(), end), limit).await?;
        self.profile.pool_offer(POOL, held.blocks.min(end), held.ns_per_block)
    }

    fn peer_offer(&self, hint: &PullHint, prompt: &TokenBlocks) -> Option<Offer> {
        self.profile.peers?;
        let (number, peer) = self.peer(&hint.from)?;
        if peer.is_away() {
            return None;
        }
        self.profile.peer_offer(number, hint.blocks.min(prompt.reusable_blocks()))
    }

    fn peer(&self, url: &str) -> Option<(WorkerId, Arc<Source>)> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).at(url, &self.agreement)
    }

    fn source(&self, id: SourceId) -> Option<Arc<Source>> {
        match id {
            SourceId::Pool(_) => self.pool.clone(),
            SourceId::Worker(number) => {
                let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
                peers.by_number.get(&number).cloned()
            }
        }
    }

    /// The call for a fetch. The engine gives up by itself when the time is over, so a little more
    /// does no harm and parts those that were late from those that were lost.
    async fn fetch(&self, fetch: &Fetch) -> Result<ModelDuration, FetchError> {
        let source = self.source(fetch.from).ok_or(FetchError::Gone)?;
        source.get(&fetch.run, self.wall(self.profile.fetch_timeout(fetch.from))).await
    }

    /// Of the way from a source to here, beside its time on the link.
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

/// Where the engine's thread says what it wants. It never waits.
pub struct Outbox {
    fetches: UnboundedSender<(Instant, Fetch)>,
    puts: mpsc::Sender<(BlockRun, Option<Owner>)>,
    dropped: Counter,
}

impl Outbox {
    pub fn fetch(&self, at: Instant, fetch: Fetch) {
        // Fails only when the worker stops.
        let _ = self.fetches.send((at, fetch));
    }

    pub fn put(&self, run: BlockRun, owner: Option<Owner>) {
        let sent = self.puts.try_send((run, owner));
        if let Err(mpsc::error::TrySendError::Full((run, _))) = sent {
            self.dropped.increment(u64::from(run.len()));
        }
    }
}

/// The other end of an [`Outbox`].
#[derive(Debug)]
pub struct Wanted {
    fetches: UnboundedReceiver<(Instant, Fetch)>,
    puts: mpsc::Receiver<(BlockRun, Option<Owner>)>,
}

pub fn outbox(config: &WorkerConfig) -> (Outbox, Wanted) {
    let (fetches, fetched) = mpsc::unbounded_channel();
    let (puts, put) = mpsc::channel(PUTS);
    let outbox = Outbox { fetches, puts, dropped: dropped_puts(config) };
    (outbox, Wanted { fetches: fetched, puts: put })
}

/// Does what the engine wants until the result is dropped.
pub fn serve(remote: &Arc<Remote>, wanted: Wanted, commands: Sender<Command>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(fetch_all(Arc::clone(remote), wanted.fetches, commands));
    if let Some(pool) = remote.pool.clone() {
        tasks.spawn(put_all(Arc::clone(remote), pool, wanted.puts));
    }
    tasks
}

async fn fetch_all(
    remote: Arc<Remote>,
    mut wanted: UnboundedReceiver<(Instant, Fetch)>,
    commands: Sender<Command>,
) {
    let mut calls = JoinSet::new();
    while let Some((at, fetch)) = wanted.recv().await {
        while calls.try_join_next().is_some() {}
        let (remote, commands) = (Arc::clone(&remote), commands.clone());
        calls.spawn(async move {
            let result = remote.fetch(&fetch).await;
            remote.metrics.fetched(fetch.from, fetch.run.len(), result.err());
            // Counted from when it was asked for: what the calls themselves took is no part of it.
            let due = result.map(|sent_after| at + sent_after + remote.latency(fetch.from));
            // Fails only when the engine has stopped.
            let _ = commands.send(Command::Fetched { id: fetch.id, due });
        });
    }
}

async fn put_all(
    remote: Arc<Remote>,
    pool: Arc<Source>,
    mut wanted: mpsc::Receiver<(BlockRun, Option<Owner>)>,
) {
    while let Some(put) = wanted.recv().await {
        let taken = pool.put(&put, PUT_LIMIT).await;
        remote.metrics.put(put.0.len(), taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections are made when first used, so these are to nobody.
    #[tokio::test]
    async fn a_new_peer_is_taken_for_one_that_was_not_used_for_long() {
        let agreement = Agreement::default();
        let mut peers = Peers::new(3);
        let mut number = |port: u32| {
            let (number, peer) = peers.at(&format!("http://h:{port}"), &agreement)?;
            let found = peers.by_number.get(&number).expect("who was just used is known");
            assert!(Arc::ptr_eq(found, &peer) && peers.by_number.len() <= 3);
            Some(number.0)
        };
        let numbers: Vec<_> = (0..10).filter_map(|port| number(port % 5)).collect();
        assert_eq!(numbers, Vec::from_iter(0..10), "each was forgotten when it came again");
        assert_eq!((number(3), number(9), number(3)), (Some(8), Some(10), Some(8)));
        assert_eq!(number(0), Some(11));
        assert!(!peers.by_number.contains_key(&WorkerId(9)), "port 4 was used longest ago");
    }
}
