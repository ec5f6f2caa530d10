//! What travels between the hearts of a world.

use crate::handover::Hand;
use warmpath_core::block::BlockRun;
use warmpath_core::engine::FetchError;
use warmpath_core::engine::store::Fetch;
use warmpath_core::event::KvBatch;
use warmpath_core::id::{RequestId, TransferId, WorkerId};
use warmpath_core::routing::input::{Decision, Input};

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

/// Letters under way, so that the order of the mail is kept among places and not among letters.
#[derive(Default)]
pub struct Letters {
    all: Vec<Option<Letter>>,
    free: Vec<u32>,
}

impl Letters {
    pub fn keep(&mut self, letter: Letter) -> u32 {
        if let Some(place) = self.free.pop() {
            self.all[place as usize] = Some(letter);
            return place;
        }
        self.all.push(Some(letter));
        self.all.len() as u32 - 1
    }

    pub fn take(&mut self, place: u32) -> Letter {
        self.free.push(place);
        self.all[place as usize].take().expect("a letter is delivered once")
    }
}
