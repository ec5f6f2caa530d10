//! What travels between the hearts of a world.

use crate::handover::Hand;
use warmpath_core::block::BlockRun;
use warmpath_core::engine::FetchError;
use warmpath_core::engine::store::Fetch;
use warmpath_core::event::KvBatch;
use warmpath_core::id::{RequestId, TransferId, WorkerId};
use warmpath_core::routing::input::{Decision, Input};
use warmpath_core::time::Instant;

/// What travels, and to whom.
#[derive(Debug)]
pub enum Letter {
    /// To the router: a client's request.
    Request(RequestId),
    /// To a worker: a request that was dispatched to it.
    Dispatched(RequestId, Decision),
    /// To a pool or a peer: a worker asks for blocks.
    Fetch(WorkerId, Fetch),
    /// To the worker that asked: they are there, or will not come.
    Fetched(WorkerId, TransferId, Result<(), FetchError>),
    /// Between the two workers of a request, if there are two.
    Hand(Hand),
    /// To the pool: blocks to keep.
    Put(BlockRun),
    /// To the router, from a worker.
    Heard(Input),
    /// To the router's index, from a worker.
    Kv(KvBatch),
    /// To the client: the request is over.
    Ended(RequestId),
}

/// A letter on its way. At one instant, the first that was posted arrives first.
pub struct Posted {
    pub at: Instant,
    pub order: u64,
    pub letter: Letter,
}

impl PartialEq for Posted {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Posted {}
impl PartialOrd for Posted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Posted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
