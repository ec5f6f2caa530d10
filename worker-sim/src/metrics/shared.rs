//! Metrics of what moves between workers and a pool. Times are wall seconds. Counts are blocks,
//! unless the name says otherwise.

use crate::feed::Feed;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use std::time::Duration;
use warmpath_core::engine::FetchError;
use warmpath_core::event::KvBatch;
use warmpath_core::id::SourceId;
use warmpath_core::pool::{Pool, PoolStats};

const POOL_SPEEDUP: &str = "warmpath_pool_speedup";
pub const POOL_LATENESS: &str = "warmpath_pool_lateness_seconds";

/// HELP lines; docs/metrics.md says more.
pub fn describe() {
    describe_counter!("warmpath_worker_fetches_total", "Fetches from pool and peers, by outcome");
    describe_counter!("warmpath_worker_fetched_blocks_total", "Blocks that came from others");
    describe_counter!("warmpath_worker_peer_sent_blocks_total", "Blocks that peers asked for");
    describe_counter!("warmpath_worker_pool_put_blocks_total", "Blocks put into the pool");
    describe_counter!(
        "warmpath_worker_pool_dropped_blocks_total",
        "Blocks for the pool that came too fast for it, or while it was away"
    );
    describe_counter!("warmpath_pool_sent_blocks_total", "Blocks that were asked for and there");
    describe_counter!("warmpath_pool_missing_total", "Gets for blocks that were gone");
    describe_counter!("warmpath_pool_stored_blocks_total", "Blocks written");
    describe_counter!("warmpath_pool_known_blocks_total", "Blocks put that were there already");
    describe_counter!(
        "warmpath_pool_refused_blocks_total",
        "Blocks put that came too fast to be written, or for which there was no room"
    );
    describe_gauge!("warmpath_pool_blocks", "Blocks held");
    describe_gauge!(
        POOL_SPEEDUP,
        "Model seconds in a second of the wall clock; rate() is by wall time"
    );
    describe_gauge!("warmpath_pool_sending", "Gets that are being sent");
    describe_histogram!(POOL_LATENESS, "Turns behind their due instant, in wall seconds");
    describe_counter!("warmpath_pool_kv_batches_total", "Batches of store changes announced");
    describe_counter!("warmpath_pool_kv_events_total", "Store changes announced");
    describe_counter!("warmpath_pool_watchers_dropped_total", "Feeds whose reader fell behind");
}

/// What a worker fetches from others and puts into the pool.
pub struct RemoteMetrics {
    engine: String,
    put: Counter,
    dropped: Counter,
}

impl std::fmt::Debug for RemoteMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteMetrics").finish_non_exhaustive()
    }
}

impl RemoteMetrics {
    /// Install a recorder before, or nothing is counted.
    pub fn new(worker: &str) -> Self {
        let engine = worker.to_owned();
        for from in ["pool", "peer"] {
            // At 0 before the first fetch, so that a rate sees it.
            for outcome in ["fetched", "missing", "gone", "late", "corrupt"] {
                let labels = [("engine", worker), ("from", from), ("outcome", outcome)];
                let labels = labels.map(|(key, value)| (key, value.to_owned()));
                counter!("warmpath_worker_fetches_total", &labels).increment(0);
            }
            let labels = [("engine", worker), ("from", from)];
            let labels = labels.map(|(key, value)| (key, value.to_owned()));
            counter!("warmpath_worker_fetched_blocks_total", &labels).increment(0);
        }
        Self {
            put: counter!("warmpath_worker_pool_put_blocks_total", "engine" => engine.clone()),
            dropped: dropped_puts(worker),
            engine,
        }
    }

    pub fn fetched(&self, from: SourceId, blocks: u32, error: Option<FetchError>) {
        let from = match from {
            SourceId::Pool(_) => "pool",
            SourceId::Worker(_) => "peer",
        };
        let outcome = match error {
            None => "fetched",
            Some(FetchError::Missing) => "missing",
            Some(FetchError::Gone) => "gone",
            Some(FetchError::Late) => "late",
            Some(FetchError::Corrupt) => "corrupt",
        };
        let engine = self.engine.clone();
        counter!(
            "warmpath_worker_fetches_total",
            "engine" => engine.clone(), "from" => from, "outcome" => outcome
        )
        .increment(1);
        if error.is_none() {
            counter!("warmpath_worker_fetched_blocks_total", "engine" => engine, "from" => from)
                .increment(u64::from(blocks));
        }
    }

    /// Counts blocks of a put. `taken`: the pool accepted them.
    pub fn put(&self, blocks: u32, taken: bool) {
        let counter = if taken { &self.put } else { &self.dropped };
        counter.increment(u64::from(blocks));
    }
}

/// Blocks of this worker that were not put into the pool.
pub fn dropped_puts(worker: &str) -> Counter {
    counter!("warmpath_worker_pool_dropped_blocks_total", "engine" => worker.to_owned())
}

/// Blocks that peers asked this worker for.
pub fn sent_to_peers(worker: &str) -> Counter {
    counter!("warmpath_worker_peer_sent_blocks_total", "engine" => worker.to_owned())
}

/// What a pool does.
pub struct PoolMetrics {
    counted: PoolStats,
    lagged: u64,
    sent: Counter,
    missing: Counter,
    stored: Counter,
    known: Counter,
    refused: Counter,
    blocks: Gauge,
    sending: Gauge,
    lateness: Histogram,
    batches: Counter,
    events: Counter,
    lagging: Counter,
}

impl PoolMetrics {
    /// Install a recorder before, or nothing is counted.
    pub fn new(pool: &str, speedup: f64) -> Self {
        let labels = [("pool", pool.to_owned())];
        let counted = |name: &'static str| counter!(name, &labels);
        gauge!(POOL_SPEEDUP, &labels).set(speedup);
        Self {
            counted: PoolStats::default(),
            lagged: 0,
            sent: counted("warmpath_pool_sent_blocks_total"),
            missing: counted("warmpath_pool_missing_total"),
            stored: counted("warmpath_pool_stored_blocks_total"),
            known: counted("warmpath_pool_known_blocks_total"),
            refused: counted("warmpath_pool_refused_blocks_total"),
            blocks: gauge!("warmpath_pool_blocks", &labels),
            sending: gauge!("warmpath_pool_sending", &labels),
            lateness: histogram!(POOL_LATENESS, &labels),
            batches: counted("warmpath_pool_kv_batches_total"),
            events: counted("warmpath_pool_kv_events_total"),
            lagging: counted("warmpath_pool_watchers_dropped_total"),
        }
    }

    /// How late the pool's thread was for an instant that was due.
    pub fn lateness(&self, late: Duration) {
        self.lateness.record(late.as_secs_f64());
    }

    pub fn batch(&self, batch: &KvBatch) {
        self.batches.increment(1);
        self.events.increment(batch.events.len() as u64);
    }

    pub fn observe(&mut self, pool: &Pool, feed: &Feed) {
        let now = pool.stats();
        let before = std::mem::replace(&mut self.counted, now);
        self.sent.increment(now.sent_blocks - before.sent_blocks);
        self.missing.increment(now.missing - before.missing);
        self.stored.increment(now.stored_blocks - before.stored_blocks);
        self.known.increment(now.known_blocks - before.known_blocks);
        self.refused.increment(now.refused_blocks - before.refused_blocks);
        self.lagging.increment(feed.lagged - self.lagged);
        self.lagged = feed.lagged;
        self.blocks.set(pool.blocks() as f64);
        self.sending.set(pool.sending() as f64);
    }
}
