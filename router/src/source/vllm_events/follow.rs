//! The batches of one engine in order.
//!
//! A new feed begins with an empty snapshot, and all that the engine still replays. Gaps are replayed too. What
//! cannot be replayed is lost, and so is all that was known: a router that goes on after a gap would believe in
//! blocks that are gone.

use super::blocks::Blocks;
use super::feed::{Feed, link_lost};
use super::load::Gauges;
use crate::source::event::{Event, Events, FeedEnd};
use metrics::counter;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use warmpath_core::event::{KvBatch, Snapshot};
use warmpath_core::id::{MAX_TIERS, SourceId, WorkerId};
use warmpath_kv_events::codec;
use warmpath_kv_events::follow::{Replay, Subscription};
use warmpath_kv_events::frames::{Numbered, Replayed};
use warmpath_proto::clock::now;
use warmpath_proto::sockets::Wire;

/// A connection to an engine.
pub type Stream = Box<dyn Wire>;

/// How often the engine is asked for what was missed. That shows too that it is alive.
const BEAT: Duration = Duration::from_millis(500);
/// An engine whose replay is silent for so many beats is lost.
const SILENT_BEATS: u32 = 20;
/// Counts blocks of events that are not in the index, by reason.
pub const DROPPED: &str = "warmpath_router_kv_event_blocks_dropped_total";
pub struct Follower {
    id: WorkerId,
    /// The life of the engine; a restart begins the next one.
    epoch: Arc<AtomicU64>,
    blocks: Blocks,
    /// The data-parallel rank that publishes here.
    rank: u32,
    subscription: Subscription<Stream>,
    replay: Option<Replay<Stream>>,
    gauges: Option<Gauges>,
    /// The engine's number of its next batch. None: not known yet.
    next: Option<u64>,
    /// The number of the last batch that was published, not replayed.
    live: Option<u64>,
    /// This feed's own number of its last batch.
    seq: u64,
    out: Option<mpsc::Sender<Result<Event, FeedEnd>>>,
}

impl Follower {
    pub fn new(
        id: WorkerId,
        epoch: Arc<AtomicU64>,
        (blocks, rank): (Blocks, u32),
        subscription: Subscription<Stream>,
        replay: Option<Replay<Stream>>,
        gauges: Option<Gauges>,
    ) -> Self {
        let (next, live, seq, out) = (None, None, 0, None);
        Self { id, epoch, blocks, rank, subscription, replay, gauges, next, live, seq, out }
    }

    /// Follows in a task that ends with the stream.
    pub fn start(mut self) -> Events {
        Feed::of(|out| async move {
            self.out = Some(out);
            let Err(end) = self.follow().await;
            if matches!(end, FeedEnd::Lost(_)) {
                // What comes back is another life, for all that is known.
                self.epoch.fetch_add(1, Ordering::AcqRel);
            }
            if let Some(out) = &self.out {
                let _ = out.send(Err(end)).await;
            }
        })
    }

    async fn follow(&mut self) -> Result<Infallible, FeedEnd> {
        let source = SourceId::Worker(self.id);
        let epoch = self.epoch.load(Ordering::Acquire);
        let empty = Snapshot { source, epoch, seq: 0, runs: Vec::new() };
        self.tell(Event::Snapshot(empty)).await?;
        if self.replay.is_some() {
            self.catch_up(0).await?;
            if self.next.is_some_and(|next| next > self.seq) {
                let worker = self.id.to_string();
                tracing::warn!(worker, "older KV events are lost, so older blocks are not known");
            }
            self.next.get_or_insert(0);
        }
        let mut beat = now();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(beat.into()) => {
                    if let Some(next) = self.next.filter(|_| self.replay.is_some()) {
                        self.catch_up(next).await?;
                    }
                    self.report().await?;
                    beat = now() + BEAT;
                }
                batch = self.subscription.next() => {
                    self.published(batch.map_err(|error| link_lost(&error))?).await?;
                }
            }
        }
    }

    /// One batch as the engine published it.
    async fn published(&mut self, batch: Numbered) -> Result<(), FeedEnd> {
        if self.live.is_some_and(|live| batch.seq <= live) {
            return Err(FeedEnd::Lost(
                "it numbers its KV events anew: it has restarted".to_owned(),
            ));
        }
        self.live = Some(batch.seq);
        let next = *self.next.get_or_insert(batch.seq);
        if batch.seq > next && self.replay.is_some() {
            self.catch_up(next).await?;
        }
        match self.next {
            Some(next) if batch.seq < next => Ok(()),
            Some(next) if batch.seq > next => Err(gap(next, batch.seq)),
            _ => self.apply(batch).await,
        }
    }

    /// Has all batches from `start` on replayed.
    async fn catch_up(&mut self, start: u64) -> Result<(), FeedEnd> {
        let Some(mut replay) = self.replay.take() else { return Ok(()) };
        replay.ask(start).await.map_err(|error| link_lost(&error))?;
        let mut silent = 0;
        loop {
            let Ok(answer) = timeout(BEAT, replay.next()).await else {
                silent += 1;
                if silent == SILENT_BEATS {
                    return Err(FeedEnd::Lost("it replays no KV events".to_owned()));
                }
                self.tell(Event::Alive).await?;
                continue;
            };
            silent = 0;
            let Replayed::Batch(batch) = answer.map_err(|error| link_lost(&error))? else { break };
            match *self.next.get_or_insert(batch.seq) {
                next if batch.seq < next => {}
                next if batch.seq > next => return Err(gap(next, batch.seq)),
                _ => self.apply(batch).await?,
            }
        }
        self.replay = Some(replay);
        Ok(())
    }

    /// Passes the next batch on.
    async fn apply(&mut self, batch: Numbered) -> Result<(), FeedEnd> {
        // An engine that writes something else is asked again later, and not at once: it would replay the
        // same.
        let refused = |why: String| FeedEnd::Refused(format!("KV events {}: {why}", batch.seq));
        let (read, _) =
            codec::decode(&batch.payload).map_err(|error| refused(error.to_string()))?;
        if let Some(rank) = read.data_parallel_rank.filter(|&rank| rank != self.rank) {
            let own = self.rank;
            return Err(refused(format!(
                "they come from data-parallel rank {rank}, expected rank {own} here"
            )));
        }
        let events = self.blocks.apply(read).map_err(FeedEnd::Refused)?;
        let worker = self.id.to_string();
        for (why, count) in self.blocks.take_dropped() {
            counter!(DROPPED, "worker" => worker.clone(), "why" => why).increment(count);
        }
        self.next = Some(batch.seq + 1);
        self.seq += 1;
        let (source, epoch) = (SourceId::Worker(self.id), self.epoch.load(Ordering::Acquire));
        self.tell(Event::Batch(KvBatch { source, epoch, seq: self.seq, events })).await
    }

    /// Engines publish no load, so the router's own bookings stand for it, and the engine's gauges where they are read.
    async fn report(&mut self) -> Result<(), FeedEnd> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let mut blocks_by_tier = [0; MAX_TIERS];
        for (to, from) in blocks_by_tier.iter_mut().zip(self.blocks.held()) {
            *to = from;
        }
        self.tell(Event::Heartbeat { epoch, seq: self.seq }).await?;
        let told = self.gauges.as_ref().and_then(Gauges::told);
        self.tell(Event::Booked { epoch, seq: self.seq, blocks_by_tier, told }).await
    }

    async fn tell(&mut self, event: Event) -> Result<(), FeedEnd> {
        let gone = || FeedEnd::Lost("it is not followed any more".to_owned());
        let out = self.out.as_ref().ok_or_else(gone)?;
        out.send(Ok(event)).await.map_err(|_| gone())
    }
}

fn gap(expected: u64, got: u64) -> FeedEnd {
    let why =
        format!("its KV events go on at {got}, expected {expected}, and what is between is lost");
    FeedEnd::Resync { why, kind: "gap" }
}
