//! Blocks that workers fetch from the pool and from peers, and the pool itself.

use super::state::World;
use crate::messages::Message;
use crate::pool::{POOL, PoolMessage};
use warmpath_core::engine::store::Fetch;
use warmpath_core::engine::{FetchError, FetchKey};
use warmpath_core::id::{SourceId, WorkerId};
use warmpath_core::time::{Duration, Instant};

impl World<'_> {
    /// A fetch reaches the pool or the peer that is to send the blocks.
    pub(super) fn fetch(&mut self, now: Instant, worker: WorkerId, fetch: &Fetch) {
        let key = (worker, fetch.id);
        let refused = match fetch.from {
            SourceId::Worker(from) => {
                let served = self.engines[from.0 as usize].serve_fetch(now, key, &fetch.run);
                self.refresh_wake(from.0);
                served
            }
            SourceId::Pool(_) => self.pool.get(now, key, &fetch.run),
        };
        if refused.is_err() {
            self.post(now + self.hop, Message::Fetched(worker, fetch.id, refused));
        }
    }

    /// Blocks have left for the worker that asked. The link's latency comes on top.
    pub(super) fn sent(
        &mut self,
        at: Instant,
        (worker, id): FetchKey,
        from: SourceId,
        result: Result<(), FetchError>,
    ) {
        let profile = self.engines[worker.0 as usize].profile();
        let latency_us = match from {
            SourceId::Pool(_) => profile.pool.map_or(0.0, |pool| pool.latency_us),
            SourceId::Worker(_) => profile.peers.map_or(0.0, |peers| peers.latency_us),
        };
        let arrives = at + Duration::from_nanos_f64(latency_us * 1e3);
        self.post(arrives, Message::Fetched(worker, id, result));
    }

    pub(super) fn step_pool(&mut self, now: Instant) {
        for output in self.pool.step(now) {
            match output {
                PoolMessage::Sent { at, key, result } => {
                    self.sent(at, key, SourceId::Pool(POOL), result);
                }
                PoolMessage::Broken { at, key: (worker, id) } => {
                    let gone = Message::Fetched(worker, id, Err(FetchError::Gone));
                    self.post(at + self.hop, gone);
                }
                PoolMessage::Kv { at, batch } => self.post(at + self.hop, Message::Kv(batch)),
                PoolMessage::Lost { at } => self.post(at + self.hop, Message::Pool(None)),
                PoolMessage::Back { at, snapshot } => {
                    self.post(at + self.hop, Message::Pool(Some(snapshot)));
                }
            }
        }
    }
}
