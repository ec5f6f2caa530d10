//! What a source says of a worker or a pool, in the core's terms.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;
use tokio_stream::Stream;
use warmpath_core::block::TokenBlocks;
use warmpath_core::event::{Digest, KvBatch, LoadReport, Snapshot, WorkerInfo};
use warmpath_core::id::MAX_TIERS;
use warmpath_core::routing::feed::SILENCE_MS;
use warmpath_core::routing::index::{Mismatch, SequenceGap};

/// A source that says nothing for this long counts as lost. Heartbeats come every 250 ms.
pub const SILENCE: Duration = Duration::from_millis(SILENCE_MS);
/// Why such a source is lost.
pub const SILENT: &str = "no message for 1.75 s";
const _: () = assert!(SILENCE_MS == 1_750);

/// A feed of what one worker or pool holds and does.
pub trait EventSource: Debug + Send + Sync {
    /// Opens the feed. The first events are a whole snapshot; each [`Event::Batch`] continues it.
    /// An error says why there is no feed.
    fn open(&self) -> Opening<'_>;

    /// The worker computed a prompt. A source that hears of its blocks otherwise does not need it.
    fn served(&self, _prompt: &TokenBlocks) {}
}

/// What an engine says of all its requests, those of other routers too.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Told {
    pub waiting: u32,
    pub running: u32,
    /// The share of its blocks that requests use, 0 to 1. None: it does not say.
    pub used: Option<f64>,
}

/// A feed that is being opened.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Opened, FeedEnd>> + Send + 'a>>;

/// A feed, and what it announced first.
pub struct Opened {
    pub announcement: Announcement,
    pub events: Events,
}

/// After an error the feed must not be polled again.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, FeedEnd>> + Send>>;

/// What a worker or a pool says of itself when a router connects.
#[derive(Clone, PartialEq, Debug)]
pub struct Announcement {
    /// One life of the worker or pool. A restart has another epoch.
    pub epoch: u64,
    pub model: String,
    /// Tokens a block.
    pub block_size: u32,
    /// Model seconds in a second of the wall clock.
    pub speedup: f64,
    /// The name that its operator gave it. Empty: none.
    pub name: String,
    /// One life of one process, under whatever address. Empty: not told.
    pub instance: String,
    /// None: it computes nothing; it is a pool.
    pub worker: Option<WorkerInfo>,
}

/// One message of a feed.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// All blocks that are held. Replaces what was known.
    Snapshot(Snapshot),
    /// Blocks that came and went since the batch before.
    Batch(KvBatch),
    /// How busy a worker is.
    Load(LoadReport),
    /// A summary of the blocks held after one batch, to compare with the index.
    Digest { epoch: u64, seq: u64, digest: Digest },
    /// The last batch that was sent.
    Heartbeat { epoch: u64, seq: u64 },
    /// The source reports no load in this form. What the router booked stands for it, but for what the engine says
    /// of its requests.
    Booked { epoch: u64, seq: u64, blocks_by_tier: [u64; MAX_TIERS], told: Option<Told> },
    /// It takes no new requests.
    Draining,
    /// A message without news, as a part of a snapshot. It shows that the source is alive.
    Alive,
}

/// Why a feed ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedEnd {
    /// The feed has an error. A new snapshot repairs it.
    Resync {
        why: String,
        /// The `why` label of the metric: `gap`, `digest`, `decode` or `lag`.
        kind: &'static str,
    },
    /// It does not match this router.
    Refused(String),
    /// It is another worker of this router, under another address.
    Same(String),
    /// It cannot be reached, or fell silent.
    Lost(String),
}

impl From<SequenceGap> for FeedEnd {
    fn from(error: SequenceGap) -> Self {
        Self::Resync { why: error.to_string(), kind: "gap" }
    }
}

impl From<Mismatch> for FeedEnd {
    fn from(mismatch: Mismatch) -> Self {
        let kind = match mismatch {
            Mismatch::Behind { .. } => "gap",
            Mismatch::Differs { .. } => "digest",
        };
        Self::Resync { why: mismatch.to_string(), kind }
    }
}

/// Waits for a source, at most for [`SILENCE`].
pub async fn unless_silent<T>(work: impl Future<Output = T>) -> Result<T, FeedEnd> {
    timeout(SILENCE, work).await.map_err(|_| FeedEnd::Lost(SILENT.to_owned()))
}
