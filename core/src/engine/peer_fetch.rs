//! What an engine has from others and lends to others: blocks that it fetches from pools and peers,
//! and blocks that peers fetch from it.
//!
//! A fetch that fails is a miss, never an error: what it should have brought is computed. It fails
//! at the latest when the profile's time for it is over.

use super::loans::LoanStats;
use super::output::{FetchError, LoanKey, Output};
use super::worker::Engine;
use crate::block::BlockRun;
use crate::id::TransferId;
use crate::time::Instant;

impl Engine {
    /// Says what is to be fetched, and until when it is waited for.
    pub(super) fn ask(&mut self, at: Instant, out: &mut Vec<Output>) {
        for fetch in self.store.take_fetches() {
            let timeout = self.profile.fetch_timeout(fetch.from);
            self.deadlines.insert((at + timeout, fetch.id));
            out.push(Output::Fetch { at, fetch });
        }
    }

    /// How a fetch ended. One that was given up before is not waited for any more.
    pub fn on_transfer(&mut self, now: Instant, id: TransferId, result: Result<(), FetchError>) {
        if !self.store.awaits(id) {
            return;
        }
        self.deadlines.retain(|&(_, other)| other != id);
        match result {
            Ok(()) => {
                self.stats.fetched_blocks += u64::from(self.store.fetched(now, id));
                self.scheduler.loaded(now, id);
            }
            Err(_) => {
                self.stats.failed_fetches += 1;
                self.scheduler.not_loaded(now, id, &mut self.store);
                self.store.not_fetched(id);
            }
        }
        self.interrupt(now);
    }

    pub(super) fn give_up_fetches(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.deadlines.first().filter(|&&(at, _)| at <= now) {
            self.deadlines.remove(&(at, id));
            self.on_transfer(now, id, Err(FetchError::Late));
        }
    }

    /// Begins to send blocks to a peer; they are held until they have left, which an
    /// [`Output::Lent`] says. A block that is not here any more refuses them all.
    pub fn lend(&mut self, now: Instant, key: LoanKey, run: &BlockRun) -> Result<(), FetchError> {
        if self.profile.peers.is_none() {
            return Err(FetchError::Missing);
        }
        let lease = self.store.lend(run).ok_or(FetchError::Missing)?;
        let work = f64::from(run.len()) * self.profile.lend_ns_per_block();
        self.loans.lent_blocks += u64::from(run.len());
        self.loans.link.start(now, key, work);
        self.loans.leases.insert(key, lease);
        Ok(())
    }

    pub fn loan_stats(&self) -> LoanStats {
        LoanStats { blocks: self.loans.lent_blocks, sending: self.loans.link.busy() }
    }

    pub(super) fn end_loans(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((at, key)) = self.loans.link.pop_ended(now) {
            let lease = self.loans.leases.remove(&key).expect("blocks that were lent are held");
            self.store.release(lease);
            out.push(Output::Lent { at, key });
            self.room_came(at);
        }
    }
}
