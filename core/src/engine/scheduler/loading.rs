//! Who waits for blocks that are on their way.

use super::queues::Scheduler;
use crate::engine::sequence::{Handover, SeqKey, State};
use crate::engine::store::BlockStore;
use crate::id::{RequestId, TransferId, WorkerId};
use crate::time::{Duration, Instant};

impl Scheduler {
    /// A transfer has ended: who waited for it may run, in the order they came.
    pub fn loaded(&mut self, now: Instant, transfer: TransferId) {
        for key in self.loading.remove(&transfer).unwrap_or_default() {
            let waited = self.came(now, key);
            self.load_wait += waited;
        }
    }

    /// One thing that a sequence waited for is over. How long it has waited, if that was the last.
    fn came(&mut self, now: Instant, key: SeqKey) -> Duration {
        let seq = self.get_mut(key);
        let State::Loading(left, since) = seq.state else {
            unreachable!("it waits for a transfer")
        };
        if left > 1 {
            seq.state = State::Loading(left - 1, since);
            return Duration::ZERO;
        }
        seq.state = State::Waiting;
        let place = seq.place;
        self.ready.insert(place, key);
        self.loading_count -= 1;
        now.since(since)
    }

    /// A hand-over has ended: it came, or the prompt must be computed.
    pub fn handed(&mut self, now: Instant, key: SeqKey, came: bool) {
        let seq = self.get_mut(key);
        // One that gave its blocks back waits for nothing.
        if seq.handover == Handover::Pulling {
            seq.handover = if came { Handover::Landed } else { Handover::None };
            let waited = self.came(now, key);
            self.handover_wait += waited;
        }
    }

    /// Hand-overs to be asked for since the last call.
    pub fn take_pulls(&mut self) -> Vec<(RequestId, WorkerId, u32)> {
        core::mem::take(&mut self.pulls)
    }

    /// A transfer will not come: who waited for it gives back what it holds and waits at its old
    /// place, to be admitted without what others offer.
    pub fn not_loaded(&mut self, now: Instant, transfer: TransferId, store: &mut BlockStore) {
        for key in self.loading.remove(&transfer).unwrap_or_default() {
            for waiting in self.loading.values_mut() {
                waiting.retain(|&other| other != key);
            }
            let seq = self.get_mut(key);
            let State::Loading(_, since) = seq.state else {
                unreachable!("it waits for a transfer")
            };
            store.release(seq.lease.take().expect("who loads holds a lease"));
            seq.offers.clear();
            seq.handover = Handover::None;
            (seq.state, seq.computed) = (State::Waiting, 0);
            // What it found counts anew, unless it has answered in part.
            seq.found_less = seq.generated == 0;
            let place = seq.place;
            self.waiting.insert(place, key);
            self.loading_count -= 1;
            self.load_wait += now.since(since);
        }
    }
}
