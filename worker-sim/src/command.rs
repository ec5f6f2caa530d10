//! What the engine's thread is told, and what it says of an answer. No protocol is named here.

use crate::feed::FeedItem;
use crate::sending::Reply;
use smallvec::SmallVec;
use std::time::Instant as WallInstant;
use tokio::sync::{mpsc, oneshot, watch};
use warmpath_core::block::BlockRun;
use warmpath_core::engine::store::{Hit, Offer};
use warmpath_core::engine::{FetchError, SubmitError};
use warmpath_core::event::LoadReport;
use warmpath_core::id::{RequestId, TransferId};
use warmpath_core::request::Work;
use warmpath_core::time::Instant;
use warmpath_proto::transfer::Moved;

/// One message to the engine's thread.
#[derive(Debug)]
pub enum Command {
    Submit {
        work: Box<Work>,
        how: How,
        progress: watch::Sender<Progress>,
        reply: oneshot::Sender<Result<(), SubmitError>>,
    },
    /// The client is gone.
    Cancel(RequestId),
    /// The answer ends here, and says so.
    Abort(RequestId),
    /// Blocks that the engine asked for are here at `due`, or will not come.
    Fetched { id: TransferId, due: Result<Instant, FetchError> },
    /// A peer asks for blocks.
    ServeFetch { run: BlockRun, reply: Reply },
    /// The decode worker pulls the KV of a prompt that was computed here.
    SendKv { name: String, tokens: u32, reply: Reply },
    /// No decode worker will pull it.
    Release(String),
    /// The KV of a prompt that a prefill worker computed is here at that instant, or will not come.
    Handed { id: RequestId, came: Result<(Instant, Moved), FetchError> },
    /// Drops the blocks that no request holds; with `external` in all tiers.
    Reset { external: bool, reply: oneshot::Sender<Reset> },
    /// How much there is to do.
    Load(oneshot::Sender<LoadReport>),
    /// A watcher of what is held here.
    Watch(mpsc::Sender<FeedItem>),
    /// Take no more requests. Stop when all requests have ended and all transfers to other workers
    /// have left, or at this instant.
    Drain(WallInstant),
}

/// What a reset of the cache came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reset {
    /// Copies of blocks that were dropped, in all tiers.
    pub dropped: u64,
    /// Blocks in HBM that requests hold.
    pub held: u64,
}

/// How a request is served.
#[derive(Debug)]
pub enum How {
    /// By this worker alone. The offers are what others hold of its prompt.
    Alone(SmallVec<[Offer; 2]>),
    /// Only its prompt is computed, and then held under this name.
    Compute(String, SmallVec<[Offer; 2]>),
    /// With the KV of a prompt that a prefill worker holds.
    Answer,
}

/// How far an answer is. A slow reader sees fewer, larger steps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Answer tokens made so far.
    pub made: u32,
    pub end: Option<End>,
    pub times: Times,
}

/// When the engine did what, by the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Times {
    pub admitted: Option<WallInstant>,
    pub first_token: Option<WallInstant>,
    pub ended: Option<WallInstant>,
}

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Finished {
        /// Prompt tokens that were not computed.
        cached_tokens: u32,
        /// The same, by where they came from.
        hit: Hit,
        /// The KV that came from the prefill worker.
        moved: Option<Moved>,
    },
    /// The prompt is computed, and held for the decode worker.
    Held {
        cached_tokens: u32,
        hit: Hit,
    },
    Aborted,
}
