//! What watchers of a worker or a pool are told, as its thread sees it: first a hello and a
//! snapshot, then each batch, load reports after changes, and heartbeats.
//!
//! A watcher's queue is bounded. A watcher that falls behind is dropped; it watches again and gets
//! a new snapshot. A feed with a gap is useless.

use std::sync::Arc;
use std::time::{Duration, Instant as WallInstant};
use tokio::sync::mpsc;
use warmpath_core::engine::Engine;
use warmpath_core::event::{Digest, KvBatch, LoadReport, Snapshot, WorkerInfo};
use warmpath_proto::convert::PoolInfo;

/// Messages that may wait for one watcher.
pub const QUEUE: usize = 1_024;

#[derive(Clone, Debug)]
pub enum FeedItem {
    Hello(WorkerInfo),
    PoolHello(PoolInfo),
    Snapshot(Arc<Snapshot>),
    Batch(Arc<KvBatch>),
    Load(LoadReport),
    Heartbeat { epoch: u64, seq: u64 },
    Draining,
}

/// An engine or a pool that announces its blocks. All changes must have been announced before these
/// calls.
pub trait Announces {
    fn hello(&self) -> FeedItem;
    fn snapshot(&self) -> Snapshot;
    /// A load report without a digest.
    fn report(&self) -> LoadReport;
    /// The digest of the blocks held after the report's `seq`.
    fn digest(&self) -> Option<Digest>;
}

impl Announces for Engine {
    fn hello(&self) -> FeedItem {
        FeedItem::Hello(self.info())
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot().expect("changes were announced")
    }

    fn report(&self) -> LoadReport {
        self.load_report()
    }

    fn digest(&self) -> Option<Digest> {
        self.digest()
    }
}

/// How often each message is sent at most, in wall time.
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
    /// Watchers that were dropped because they fell behind, since the start.
    pub lagged: u64,
    /// The last report sent, without its digest.
    last: Option<LoadReport>,
    last_report: WallInstant,
    /// Something may have changed since the last report.
    touched: bool,
    /// The last batch sent.
    seq: u64,
    next_heartbeat: WallInstant,
    next_digest: WallInstant,
    /// The last digest belongs to this batch.
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

    pub fn add(&mut self, source: &impl Announces, watcher: mpsc::Sender<FeedItem>) {
        let snapshot = Arc::new(source.snapshot());
        let report = LoadReport { digest: source.digest(), ..source.report() };
        let opening = [source.hello(), FeedItem::Snapshot(snapshot), FeedItem::Load(report)];
        if opening.into_iter().all(|item| watcher.try_send(item).is_ok()) {
            self.watchers.push(watcher);
            // It may have another report than the others have, so the next one is news to it.
            self.last = None;
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

    /// When [`Feed::tick`] has something to do; None without watchers.
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

    /// Sends what is due.
    pub fn tick(&mut self, now: WallInstant, source: &impl Announces) {
        if self.watchers.is_empty() {
            return;
        }
        let report_due = self.touched && now >= self.last_report + self.intervals.report;
        let report = source.report();
        let (epoch, seq) = (report.epoch, report.seq);
        let digest_due = self.digest_seq != Some(seq) && now >= self.next_digest;
        if digest_due || (report_due && self.last.as_ref() != Some(&report)) {
            let mut full = report.clone();
            if digest_due {
                full.digest = source.digest();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::profile;
    use warmpath_core::id::WorkerId;
    use warmpath_proto::clock::now;

    #[test]
    fn a_watcher_that_falls_behind_is_dropped_alone() {
        let engine = Engine::new(WorkerId(0), 1, profile());
        let beat = Duration::from_millis(1);
        let begun = now();
        let mut feed = Feed::new(begun, Intervals { report: beat, heartbeat: beat, digest: beat });
        let (slow, mut slow_items) = mpsc::channel(QUEUE);
        let (quick, mut quick_items) = mpsc::channel(QUEUE);
        feed.add(&engine, slow);
        feed.add(&engine, quick);
        let mut read = 0;
        for i in 1..=2 * QUEUE as u32 {
            feed.tick(begun + i * beat, &engine);
            while quick_items.try_recv().is_ok() {
                read += 1;
            }
        }
        assert_eq!((feed.lagged, feed.watchers.len()), (1, 1));
        assert!(read > 2 * QUEUE, "{read} messages for the quick one");
        let mut left = 0;
        while slow_items.try_recv().is_ok() {
            left += 1;
        }
        assert_eq!(left, QUEUE);
        assert!(matches!(slow_items.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
    }

    #[test]
    fn the_thread_wakes_only_when_a_message_is_due() {
        let engine = Engine::new(WorkerId(0), 1, profile());
        let second = Duration::from_secs(1);
        let begun = now();
        let intervals = Intervals { report: second / 10, heartbeat: second, digest: second / 5 };
        let mut feed = Feed::new(begun, intervals);
        assert_eq!(feed.next_wake(), None, "there is no watcher");
        let (watcher, mut items) = mpsc::channel(QUEUE);
        feed.add(&engine, watcher);
        feed.tick(begun, &engine);
        assert_eq!(feed.next_wake(), Some(begun + second), "the next heartbeat");
        feed.touch();
        assert_eq!(feed.next_wake(), Some(begun + second / 10), "the next report");
        feed.tick(begun + second / 10, &engine);
        assert_eq!(feed.next_wake(), Some(begun + second), "nothing had changed");
        let mut reports = 0;
        while let Ok(item) = items.try_recv() {
            reports += u32::from(matches!(item, FeedItem::Load(_)));
        }
        assert_eq!(reports, 2, "one with the hello, one with the first digest");
    }
    /// An engine with so many requests in its queue.
    struct Busy(Engine, u32);

    impl Announces for Busy {
        fn hello(&self) -> FeedItem {
            self.0.hello()
        }

        fn snapshot(&self) -> Snapshot {
            Announces::snapshot(&self.0)
        }

        fn report(&self) -> LoadReport {
            LoadReport { waiting: self.1, ..self.0.report() }
        }

        fn digest(&self) -> Option<Digest> {
            Announces::digest(&self.0)
        }
    }

    /// The others know the state to which the engine returns, and the new one does not.
    #[test]
    fn a_watcher_that_came_meanwhile_hears_that_all_is_as_before() {
        let mut engine = Busy(Engine::new(WorkerId(0), 1, profile()), 0);
        let second = Duration::from_secs(1);
        let begun = now();
        let intervals = Intervals { report: second, heartbeat: second, digest: second };
        let mut feed = Feed::new(begun, intervals);
        let (old, _items) = mpsc::channel(QUEUE);
        feed.add(&engine, old);
        feed.tick(begun, &engine);
        engine.1 = 1;
        let (new, mut items) = mpsc::channel(QUEUE);
        feed.add(&engine, new);
        engine.1 = 0;
        feed.touch();
        feed.tick(begun + second, &engine);
        let mut waiting = Vec::new();
        while let Ok(item) = items.try_recv() {
            if let FeedItem::Load(report) = item {
                waiting.push(report.waiting);
            }
        }
        assert_eq!(waiting, [1, 0]);
    }
}
