//! What travels between the hearts of a world. Letters arrive in the order of their times, and at one
//! instant in the order in which they were posted.

use crate::handover::Hand;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use warmpath_core::block::BlockRun;
use warmpath_core::engine::FetchError;
use warmpath_core::engine::store::Fetch;
use warmpath_core::event::{KvBatch, Snapshot};
use warmpath_core::id::{RequestId, TransferId, WorkerId};
use warmpath_core::request::Owner;
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
    Put(BlockRun, Option<Owner>),
    /// To the router, from a worker.
    Heard(Input),
    /// To the router's index, from a worker.
    Kv(KvBatch),
    /// To the router: the pool is gone, or came back with this.
    Pool(Option<Snapshot>),
    /// To the client: the request is over.
    Ended(RequestId),
}

/// The order is kept among places and not among letters, which lie still.
#[derive(Default, Debug)]
pub struct Mail {
    order: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    letters: Vec<Option<Letter>>,
    free: Vec<u32>,
    posted: u64,
}

impl Mail {
    pub fn post(&mut self, at: Instant, letter: Letter) {
        self.posted += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.letters.push(None);
            self.letters.len() as u32 - 1
        });
        self.letters[place as usize] = Some(letter);
        self.order.push(Reverse((at, self.posted, place)));
    }

    /// When the next one arrives.
    pub fn next(&self) -> Option<Instant> {
        self.order.peek().map(|&Reverse((at, ..))| at)
    }

    /// The next one, if it has arrived by `now`.
    pub fn take(&mut self, now: Instant) -> Option<Letter> {
        self.next().filter(|&at| at <= now)?;
        let Reverse((_, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.letters[place as usize].take()
    }
}
