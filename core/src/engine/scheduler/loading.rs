//! Admitted sequences that wait for loads, fetches and KV transfers.

use super::queues::Scheduler;
use crate::engine::sequence::{KvTransfer, SeqKey, State};
use crate::engine::store::BlockStore;
use crate::id::{RequestId, TransferId, WorkerId};
use crate::time::{Duration, Instant};

impl Scheduler {
    /// Ends a transfer. Sequences that waited only for it can run.
    pub fn load_ended(&mut self, now: Instant, transfer: TransferId) {
        for key in self.loading.remove(&transfer).unwrap_or_default() {
            let waited = self.wait_ended(now, key);
            self.load_wait += waited;
        }
    }

    /// Ends one wait of a sequence. Returns how long it has waited, if that was the last.
    fn wait_ended(&mut self, now: Instant, key: SeqKey) -> Duration {
        let seq = self.get_mut(key);
        let State::Loading(left, since) = seq.state else {
            unreachable!("a sequence that waits for a transfer")
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

    /// Ends a KV transfer. If it failed, the prompt is computed here.
    pub fn kv_transfer_ended(&mut self, now: Instant, key: SeqKey, came: bool) {
        let seq = self.get_mut(key);
        // A sequence that has returned its blocks no longer waits.
        if seq.kv_transfer == KvTransfer::Pulling {
            seq.kv_transfer = if came { KvTransfer::Arrived } else { KvTransfer::None };
            let waited = self.wait_ended(now, key);
            self.kv_transfer_wait += waited;
        }
    }

    /// Takes the KV transfers to request since the last call.
    pub fn take_pulls(&mut self) -> Vec<(RequestId, WorkerId, u32)> {
        core::mem::take(&mut self.pulls)
    }

    /// Ends a transfer that failed. Sequences that waited for it return their blocks and wait again
    /// at their old place. They will be admitted without offers.
    pub fn load_failed(&mut self, now: Instant, transfer: TransferId, store: &mut BlockStore) {
        for key in self.loading.remove(&transfer).unwrap_or_default() {
            for waiting in self.loading.values_mut() {
                waiting.retain(|&other| other != key);
            }
            let seq = self.get_mut(key);
            let State::Loading(_, since) = seq.state else {
                unreachable!("a sequence that waits for a transfer")
            };
            store.release(seq.lease.take().expect("the lease of a loading sequence"));
            seq.offers.clear();
            seq.kv_transfer = KvTransfer::None;
            (seq.state, seq.computed) = (State::Waiting, 0);
            // Its hit is counted again, unless it has made answer tokens.
            seq.found_less = seq.generated == 0;
            let place = seq.place;
            self.waiting.insert(place, key);
            self.loading_count -= 1;
            self.load_wait += now.since(since);
        }
    }
}
