//! Fetches from pools and peers, and blocks sent to peers.
//!
//! A failed fetch is a cache miss, not an error: the engine computes the blocks. Every fetch ends
//! at the latest after the profile's timeout.

use super::output::{FetchError, FetchKey, Output};
use super::peer_sends::PeerSendStats;
use super::worker::Engine;
use crate::block::BlockRun;
use crate::id::TransferId;
use crate::time::Instant;

impl Engine {
    /// Reports new fetches, and sets their timeouts.
    pub(super) fn announce_fetches(&mut self, at: Instant, out: &mut Vec<Output>) {
        for fetch in self.store.take_fetches() {
            let timeout = self.profile.fetch_timeout(fetch.from);
            self.deadlines.insert((at + timeout, fetch.id));
            out.push(Output::Fetch { at, fetch });
        }
    }

    /// Ends a fetch. Ignores one that has already timed out.
    pub fn on_transfer(&mut self, now: Instant, id: TransferId, result: Result<(), FetchError>) {
        if !self.store.awaits(id) {
            return;
        }
        self.deadlines.retain(|&(_, other)| other != id);
        match result {
            Ok(()) => {
                self.stats.fetched_blocks += u64::from(self.store.fetched(now, id));
                self.scheduler.load_ended(now, id);
            }
            Err(_) => {
                self.stats.failed_fetches += 1;
                self.scheduler.load_failed(now, id, &mut self.store);
                self.store.not_fetched(id);
            }
        }
        self.interrupt(now);
    }

    /// Fails the fetches whose timeout is over.
    pub(super) fn give_up_fetches(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.deadlines.first().filter(|&&(at, _)| at <= now) {
            self.deadlines.remove(&(at, id));
            self.on_transfer(now, id, Err(FetchError::Late));
        }
    }

    /// Starts to send blocks to a peer. The engine holds them until an [`Output::FetchServed`] reports
    /// that they have left.
    ///
    /// # Errors
    /// [`FetchError::Missing`] if any of the blocks is not cached, or the profile has no peer link.
    pub fn serve_fetch(
        &mut self,
        now: Instant,
        key: FetchKey,
        run: &BlockRun,
    ) -> Result<(), FetchError> {
        if self.profile.peers.is_none() {
            return Err(FetchError::Missing);
        }
        let lease = self.store.lease_run(run).ok_or(FetchError::Missing)?;
        let work = f64::from(run.len()) * self.profile.peer_send_ns_per_block();
        self.peer_sends.sent_blocks += u64::from(run.len());
        self.peer_sends.link.start(now, key, work);
        self.peer_sends.leases.insert(key, lease);
        Ok(())
    }

    /// Counts of blocks sent to peers since the engine started.
    pub fn peer_send_stats(&self) -> PeerSendStats {
        PeerSendStats { blocks: self.peer_sends.sent_blocks, sending: self.peer_sends.link.busy() }
    }

    /// Releases blocks that have left for a peer.
    pub(super) fn end_peer_sends(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((at, key)) = self.peer_sends.link.pop_ended(now) {
            let lease = self.peer_sends.leases.remove(&key).expect("the lease of blocks under way");
            self.store.release(lease);
            out.push(Output::FetchServed { at, key });
            self.retry_admission(at);
        }
    }
}
