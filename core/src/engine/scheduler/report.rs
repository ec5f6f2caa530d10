//! What the scheduler says of itself: for load reports, for drivers, and for checks at rest.

use super::Scheduler;
use crate::engine::sequence::{SeqKey, Sequence, State};
use std::collections::BTreeSet;

impl Scheduler {
    /// (waiting or loading, running)
    pub fn counts(&self) -> (u32, u32) {
        let waiting = self.waiting.len() + self.ready.len() + self.loading_count;
        (waiting as u32, self.running.len() as u32)
    }

    pub fn queued_prefill_tokens(&self) -> u64 {
        let left = |&key: &SeqKey| u64::from(self.get(key).target - self.get(key).computed);
        // Who waits for two transfers counts once.
        let loading: BTreeSet<_> = self.loading.values().flatten().collect();
        let admitted = loading.into_iter().chain(self.ready.values());
        self.waiting.values().chain(admitted).chain(self.prefilling.values()).map(left).sum()
    }

    pub fn each_decoding(&self, mut each: impl FnMut(&Sequence, u32)) {
        for &key in self.running.values() {
            let seq = self.get(key);
            if let State::Decoding { since, .. } = seq.state {
                each(seq, seq.generated + (self.steps - since) as u32);
            }
        }
    }

    /// At rest nobody is listed anywhere, and nothing is read.
    pub fn check_at_rest(&self) {
        assert_eq!(self.counts(), (0, 0), "sequences are left");
        assert_eq!((self.decoding, self.context), (0, 0), "context is read for nobody");
        assert_eq!((self.filling, self.window_context), (0, 0), "windows are read for nobody");
        assert!(self.prefilling.is_empty() && self.due.is_empty() && self.hungry.is_empty());
        assert_eq!(self.free.len(), self.seqs.len(), "sequences are kept");
    }
}
