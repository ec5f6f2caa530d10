//! What watchers are told, from the engine's side: hello and snapshot first, then batches as they
//! come, load reports when something changed, heartbeats always.
//!
//! A watcher's queue is bounded. Who falls behind is dropped and comes back for a snapshot, since a
//! feed with a hole in it is worth nothing.

use std::sync::Arc;
use std::time::{Duration, Instant as WallInstant};
use tokio::sync::mpsc;
use warmpath_core::engine::Engine;
use warmpath_core::event::{KvBatch, LoadReport, Snapshot, WorkerInfo};

/// Messages that may wait for one watcher.
pub const QUEUE: usize = 1_024;

#[derive(Clone, Debug)]
pub enum FeedItem {
    Hello(WorkerInfo),
    Snapshot(Arc<Snapshot>),
    Batch(Arc<KvBatch>),
    Load(LoadReport),
    Heartbeat { epoch: u64, seq: u64 },
    Draining,
}

/// Wall-clock spans.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    pub report: Duration,
    pub heartbeat: Duration,
    pub digest: Duration,
}

#[derive(Debug)]
pub struct Feed {
    intervals: Intervals,
    watchers: Vec<mpsc::Sender<FeedItem>>,
    /// Dropped because they fell behind, since the worker began.
    pub lagged: u64,
    /// The last report sent, without its digest.
    last: Option<LoadReport>,
    last_report: WallInstant,
    /// Something may have changed since.
    touched: bool,
    /// The last batch sent.
    seq: u64,
    next_heartbeat: WallInstant,
    next_digest: WallInstant,
    /// The batch that the last digest was made after.
    digest_seq: Option<u64>,
}

impl Feed {
    pub fn new(now: WallInstant, intervals: Intervals) -> Self {
        Self {
            intervals,
            watchers: Vec::new(),
            lagged: 0,
            last: None,
            last_report: now,
            touched: false,
            seq: 0,
            next_heartbeat: now,
            next_digest: now,
            digest_seq: None,
        }
    }

    /// The engine must have announced its changes.
    pub fn add(&mut self, engine: &Engine, watcher: mpsc::Sender<FeedItem>) {
        let snapshot = Arc::new(engine.snapshot().expect("changes were announced"));
        let report = LoadReport { digest: engine.digest(), ..engine.load_report() };
        let opening =
            [FeedItem::Hello(engine.info()), FeedItem::Snapshot(snapshot), FeedItem::Load(report)];
        if opening.into_iter().all(|item| watcher.try_send(item).is_ok()) {
            self.watchers.push(watcher);
        }
    }

    pub fn batch(&mut self, batch: KvBatch) {
        self.touched = true;
        self.seq = batch.seq;
        self.send(&FeedItem::Batch(Arc::new(batch)));
    }

    /// Call when something happened that a load report may show.
    pub const fn touch(&mut self) {
        self.touched = true;
    }

    pub fn drain(&mut self) {
        self.send(&FeedItem::Draining);
    }

    /// When [`Feed::tick`] has something to do; None while nobody watches.
    pub fn next_wake(&self) -> Option<WallInstant> {
        if self.watchers.is_empty() {
            return None;
        }
        let mut next = self.next_heartbeat;
        if self.touched {
            next = next.min(self.last_report + self.intervals.report);
        }
        if self.digest_seq != Some(self.seq) {
            next = next.min(self.next_digest);
        }
        Some(next)
    }

    /// Sends what is due. The engine must have announced its changes.
    pub fn tick(&mut self, now: WallInstant, engine: &Engine) {
        if self.watchers.is_empty() {
            return;
        }
        let report_due = self.touched && now >= self.last_report + self.intervals.report;
        let report = engine.load_report();
        let (epoch, seq) = (report.epoch, report.seq);
        let digest_due = self.digest_seq != Some(seq) && now >= self.next_digest;
        if digest_due || (report_due && self.last.as_ref() != Some(&report)) {
            let mut full = report.clone();
            if digest_due {
                full.digest = engine.digest();
                self.digest_seq = Some(seq);
                self.next_digest = now + self.intervals.digest;
            }
            self.send(&FeedItem::Load(full));
            self.last = Some(report);
        }
        if digest_due || report_due {
            self.touched = false;
            self.last_report = now;
        }
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + self.intervals.heartbeat;
            self.send(&FeedItem::Heartbeat { epoch, seq });
        }
    }

    fn send(&mut self, item: &FeedItem) {
        let lagged = &mut self.lagged;
        self.watchers.retain(|watcher| match watcher.try_send(item.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                *lagged += 1;
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }
}
