//! Blocks that are sent on request. A pool sends them, and a worker sends them to its peers.

use std::collections::HashMap;
use tokio::sync::oneshot;
use warmpath_core::engine::{FetchError, FetchKey};
use warmpath_core::id::{TransferId, WorkerId};
use warmpath_core::time::{Duration, Instant};

/// To the call that waits for blocks to leave: the model time they took.
pub type Reply = oneshot::Sender<Result<Duration, FetchError>>;

/// The calls whose blocks are being sent.
#[derive(Debug, Default)]
pub struct Sending {
    begun: u64,
    waiting: HashMap<FetchKey, (Instant, Reply)>,
}

impl Sending {
    /// Begins to send blocks by `start`, and says whether it did. Each call has a key of its own:
    /// two calls may ask for the same blocks.
    pub fn begin(
        &mut self,
        now: Instant,
        reply: Reply,
        start: impl FnOnce(FetchKey) -> Result<(), FetchError>,
    ) -> bool {
        let key = (WorkerId(0), TransferId(self.begun));
        self.begun += 1;
        let started = start(key);
        match started {
            Ok(()) => drop(self.waiting.insert(key, (now, reply))),
            // The caller may be gone.
            Err(error) => drop(reply.send(Err(error))),
        }
        started.is_ok()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn end(&mut self, at: Instant, key: FetchKey) {
        if let Some((asked, reply)) = self.waiting.remove(&key) {
            let _ = reply.send(Ok(at.since(asked)));
        }
    }
}

/// How much of a prompt a pool holds, and how fast it would send a block.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Holds {
    /// Blocks from the prompt's start, without a gap.
    pub blocks: u32,
    /// Model nanoseconds.
    pub ns_per_block: f64,
}
