//! Who waits for blocks that are on their way.

use super::Scheduler;
use crate::engine::sequence::State;
use crate::engine::store::BlockStore;
use crate::id::TransferId;
use crate::time::Instant;

impl Scheduler {
    /// A transfer has ended: who waited for it may run, in the order they came.
    pub fn loaded(&mut self, now: Instant, transfer: TransferId) {
        for key in self.loading.remove(&transfer).unwrap_or_default() {
            let seq = self.get_mut(key);
            let State::Loading(left, since) = seq.state else {
                unreachable!("it waits for a transfer")
            };
            if left > 1 {
                seq.state = State::Loading(left - 1, since);
                continue;
            }
            seq.state = State::Waiting;
            let place = seq.place;
            self.load_wait += now.since(since);
            self.ready.insert(place, key);
            self.loading_count -= 1;
        }
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
