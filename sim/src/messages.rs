//! Messages on the network of a world. They arrive in the order of their times, and at one instant in
//! the order in which they were sent.

use crate::feeds::FeedMessage;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use warmpath_core::block::BlockRun;
use warmpath_core::engine::FetchError;
use warmpath_core::engine::store::Fetch;
use warmpath_core::event::{KvBatch, Snapshot};
use warmpath_core::id::{RequestId, TransferId, WorkerId};
use warmpath_core::report::Cached;
use warmpath_core::request::Owner;
use warmpath_core::routing::input::{Decision, Failure, Input};
use warmpath_core::time::Instant;

/// A message, with its receiver.
#[derive(Debug)]
pub enum Message {
    /// To the router: a client's request.
    Request(RequestId),
    /// To a worker: a request that was sent to it.
    Dispatched(RequestId, Decision),
    /// To a pool or a peer: a worker asks for blocks.
    Fetch(WorkerId, Fetch),
    /// To the worker that asked: the blocks are there, or will not come.
    Fetched(WorkerId, TransferId, Result<(), FetchError>),
    /// Between the prefill worker and the decode worker of a request.
    Transfer(TransferMessage),
    /// To the pool: blocks to keep.
    Put(BlockRun, Option<Owner>),
    /// To the router: an input.
    Router(Input),
    /// To the router's index: a source's changes.
    Kv(KvBatch),
    /// To the router: the pool is gone, or came back with this.
    Pool(Option<Snapshot>),
    /// To the client: the request is over.
    Ended(RequestId),
    /// To the router, where workers may fail: an attempt's first token.
    FirstToken(Said),
    /// To the router, where workers may fail: the end of an answer, with its tokens.
    Answered(Said, Cached, u32),
    /// To the router: the call of an attempt broke after so many answer tokens.
    Broke(Said, Failure, u32),
    /// To a worker: no client waits for the request any more.
    Abort(RequestId, WorkerId),
    /// To the router: a worker's connection broke.
    WorkerGone(WorkerId),
    /// To the router: a worker is there again.
    WorkerBack(WorkerId),
    /// Between the router and a worker, where feeds are played message by message.
    Feed(FeedMessage),
    /// Nothing gets through to or from a worker from now on, or all gets through again.
    Link(WorkerId, Link, bool),
}

/// What a worker says of a request, with the number of the attempt: a router that has given up an attempt
/// no longer listens.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub id: RequestId,
    pub worker: WorkerId,
    pub number: u32,
}

/// What goes between the router and a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    Calls,
    Feed,
}

impl Message {
    /// Between the router and which worker it goes, and as what.
    pub fn link(&self) -> Option<(WorkerId, Link)> {
        match self {
            Self::Dispatched(_, decision) => Some((decision.worker, Link::Calls)),
            Self::FirstToken(said) | Self::Answered(said, ..) | Self::Broke(said, ..) => {
                Some((said.worker, Link::Calls))
            }
            Self::Abort(_, worker) => Some((*worker, Link::Calls)),
            Self::Feed(message) => Some((message.worker, Link::Feed)),
            _ => None,
        }
    }
}

/// A step of a KV transfer, from the prefill worker to the decode worker.
#[derive(Debug)]
pub enum TransferMessage {
    /// To the decode worker: the prompt is computed at `from`.
    Computed { id: RequestId, to: WorkerId, from: WorkerId },
    /// To the prefill worker: the decode worker asks for this many tokens of KV.
    Pull { id: RequestId, to: WorkerId, from: WorkerId, tokens: u32 },
    /// To the decode worker: the KV is there, or will not come.
    Arrived { id: RequestId, to: WorkerId, result: Result<(), FetchError> },
}

/// The messages that are under way. The heap orders places; the messages themselves do not move.
#[derive(Default, Debug)]
pub struct Messages {
    order: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    places: Vec<Option<Message>>,
    free: Vec<u32>,
    sent: u64,
}

impl Messages {
    pub fn send(&mut self, at: Instant, message: Message) {
        self.sent += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[place as usize] = Some(message);
        self.order.push(Reverse((at, self.sent, place)));
    }

    /// When the next one arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.order.peek().map(|&Reverse((at, ..))| at)
    }

    /// The next one, if it has arrived by `now`.
    pub fn take(&mut self, now: Instant) -> Option<Message> {
        self.next_arrival().filter(|&at| at <= now)?;
        let Reverse((_, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.places[place as usize].take()
    }
}
