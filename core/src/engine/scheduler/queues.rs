//! queues

use crate::engine::sequence::{SeqKey, Sequence, State};
use crate::engine::store::Lease;
use crate::id::{RequestId, TransferId, WorkerId};
use crate::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(in crate::engine) struct Scheduler {
    pub(super) seqs: Vec<Option<Sequence>>,
    pub(super) free: Vec<SeqKey>,
    pub(super) waiting: BTreeMap<i64, SeqKey>,
    /// Counts up, for those that come.
    pub(super) next_place: i64,
    /// Counts down, for those that were preempted.
    pub(super) front_place: i64,
    pub(super) loading: BTreeMap<TransferId, Vec<SeqKey>>,
    pub(super) loading_count: usize,
    /// Loaded and holding their blocks: they run before the waiting.
    pub(super) ready: BTreeMap<i64, SeqKey>,
    /// By order of admission.
    pub(super) running: BTreeMap<u64, SeqKey>,
    pub(super) prefilling: BTreeMap<u64, SeqKey>,
    pub(super) admissions: u64,
    /// Steps since the engine began.
    pub(super) steps: u64,
    pub(super) decoding: u32,
    /// Tokens that all decoding sequences attend to in the next step.
    pub(super) context: u64,
    /// The same for layers with a sliding window.
    pub(super) window_context: u64,
    /// Decoding sequences whose window still fills: each step reads one token more for each.
    pub(super) filling: u32,
    /// Tokens; 0 without such layers.
    pub(super) window: u32,
    /// Blocks that each sequence holds besides those of its tokens.
    pub(super) constant_blocks: u32,
    /// Decoding sequences by the step after which they must be looked at.
    pub(super) due: BTreeSet<(u64, SeqKey)>,
    /// Decoding sequences whose next token needs a block, by order of admission.
    pub(super) hungry: BTreeMap<u64, SeqKey>,
    pub any_cancelled: bool,
    /// Time that requests have waited for transfers, all together.
    pub load_wait: Duration,
    /// The same for hand-overs.
    pub handover_wait: Duration,
    /// Hand-overs to be asked for: of which request, from whom, how many tokens.
    pub(super) pulls: Vec<(RequestId, WorkerId, u32)>,
    pub(super) spare: Vec<(SeqKey, u32)>,
}

impl Scheduler {
    pub fn new(window: u32, constant_blocks: u32) -> Self {
        Self { window, constant_blocks, ..Self::default() }
    }

    pub fn get_mut(&mut self, key: SeqKey) -> &mut Sequence {
        self.seqs[key.0 as usize].as_mut().expect("a sequence that exists")
    }

    pub(super) fn get(&self, key: SeqKey) -> &Sequence {
        self.seqs[key.0 as usize].as_ref().expect("a sequence that exists")
    }

    pub fn enqueue(&mut self, mut seq: Sequence) -> SeqKey {
        self.next_place += 1;
        let place = self.next_place;
        seq.place = place;
        let key = self.free.pop().unwrap_or_else(|| {
            self.seqs.push(None);
            SeqKey(self.seqs.len() as u32 - 1)
        });
        self.seqs[key.0 as usize] = Some(seq);
        self.waiting.insert(place, key);
        key
    }

    pub fn is_running(&self, key: SeqKey) -> bool {
        matches!(self.get(key).state, State::Prefilling(_) | State::Decoding { .. })
    }

    /// Takes out a sequence that does not run.
    pub fn withdraw(&mut self, key: SeqKey) -> Option<Lease> {
        let seq = self.get(key);
        match seq.state {
            State::Loading(..) => {
                for waiting in self.loading.values_mut() {
                    waiting.retain(|&other| other != key);
                }
                self.loading_count -= 1;
            }
            _ => {
                let place = seq.place;
                self.waiting.remove(&place);
                self.ready.remove(&place);
            }
        }
        self.discard(key).lease
    }

    /// Takes out a sequence that runs.
    pub fn remove(&mut self, key: SeqKey) -> (RequestId, Option<Lease>) {
        self.stop(key);
        let seq = self.discard(key);
        (seq.work.request.id, seq.lease)
    }

    fn discard(&mut self, key: SeqKey) -> Sequence {
        self.free.push(key);
        self.seqs[key.0 as usize].take().expect("a sequence that exists")
    }

    pub fn cancelled(&self) -> Vec<SeqKey> {
        let all = self.running.values().copied();
        all.filter(|&key| self.get(key).cancelled).collect()
    }

    pub const fn decoding(&self) -> u32 {
        self.decoding
    }

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

    pub fn recycle(&mut self, mut chunks: Vec<(SeqKey, u32)>) {
        chunks.clear();
        self.spare = chunks;
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
