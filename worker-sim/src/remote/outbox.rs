//! What the engine's thread wants from others. Sending here never waits.

use crate::config::WorkerConfig;
use crate::metrics::dropped_puts;
use metrics::Counter;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use warmpath_core::block::BlockRun;
use warmpath_core::engine::store::Fetch;
use warmpath_core::id::RequestId;
use warmpath_core::request::Owner;
use warmpath_core::time::Instant;

/// Puts that may wait. If they come faster than the pool answers, the rest is dropped.
const PUTS: usize = 256;

/// The engine thread's end.
pub struct Outbox {
    fetches: UnboundedSender<WantedFetch>,
    puts: mpsc::Sender<WantedPut>,
    pulls: UnboundedSender<WantedPull>,
    dropped: Counter,
}

/// Blocks to fetch, and since when.
pub type WantedFetch = (Instant, Fetch);
/// Blocks to put into the pool, and their owner.
pub type WantedPut = (BlockRun, Option<Owner>);
/// KV to pull: since when, for which request, and how many prompt tokens.
pub type WantedPull = (Instant, RequestId, u32);

impl Outbox {
    pub fn fetch(&self, at: Instant, fetch: Fetch) {
        // Fails only when the worker stops.
        let _ = self.fetches.send((at, fetch));
    }

    pub fn put(&self, run: BlockRun, owner: Option<Owner>) {
        let sent = self.puts.try_send((run, owner));
        if let Err(mpsc::error::TrySendError::Full((run, _))) = sent {
            self.dropped.increment(u64::from(run.len()));
        }
    }

    pub fn pull(&self, at: Instant, id: RequestId, tokens: u32) {
        // Fails only when the worker stops.
        let _ = self.pulls.send((at, id, tokens));
    }
}

/// The other end of an [`Outbox`].
#[derive(Debug)]
pub struct Wanted {
    pub fetches: UnboundedReceiver<WantedFetch>,
    pub puts: mpsc::Receiver<WantedPut>,
    pub pulls: UnboundedReceiver<WantedPull>,
}

/// Both ends.
pub fn outbox(config: &WorkerConfig) -> (Outbox, Wanted) {
    let (fetches, fetched) = mpsc::unbounded_channel();
    let (puts, put) = mpsc::channel(PUTS);
    let (pulls, pulled) = mpsc::unbounded_channel();
    let outbox = Outbox { fetches, puts, pulls, dropped: dropped_puts(&config.name) };
    (outbox, Wanted { fetches: fetched, puts: put, pulls: pulled })
}
