//! The queues of the scheduler, and the sequences in them.

use super::ordered::Ordered;
use crate::engine::sequence::{SeqKey, Sequence, State};
use crate::engine::store::{Hit, Lease};
use crate::id::{RequestId, TransferId, WorkerId};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// The scheduler of one engine.
#[derive(Debug, Default)]
pub(in crate::engine) struct Scheduler {
    pub(super) seqs: Vec<Option<Sequence>>,
    pub(super) free: Vec<SeqKey>,
    pub(super) waiting: Ordered<i64, SeqKey>,
    /// The place of the last arrival. Counts up.
    pub(super) next_place: i64,
    /// The place of the last preemption. Counts down, so preempted sequences are first.
    pub(super) front_place: i64,
    /// Admitted sequences that wait for a transfer.
    pub(super) loading: BTreeMap<TransferId, Vec<SeqKey>>,
    pub(super) loading_count: usize,
    /// Sequences whose transfers have ended. They hold blocks, so they run before waiting ones.
    pub(super) ready: Ordered<i64, SeqKey>,
    /// All running sequences, by order of admission.
    pub(super) running: Ordered<u64, SeqKey>,
    /// Running sequences with prompt tokens left, by order of admission.
    pub(super) prefilling: Ordered<u64, SeqKey>,
    pub(super) admissions: u64,
    /// Steps since the engine started.
    pub(super) steps: u64,
    pub(super) decoding: u32,
    /// Tokens that all decoding sequences attend to in the next step.
    pub(super) context: u64,
    /// The same for layers with a sliding window.
    pub(super) window_context: u64,
    /// Decoding sequences whose window is not full: for each, a step reads one token more.
    pub(super) filling: u32,
    /// The sliding window in tokens; 0 without such layers.
    pub(super) window: u32,
    /// Blocks that each sequence holds besides those of its tokens.
    pub(super) constant_blocks: u32,
    /// How uneven reading the contexts of decoding sequences is; None: others decode than before.
    pub(super) unevenness: Option<f64>,
    /// The longest of these contexts, less the steps since the engine started: all grow alike.
    pub(super) longest: i64,
    /// Decoding sequences by the step after which they must be updated.
    pub(super) due: Ordered<(u64, SeqKey)>,
    /// Decoding sequences whose next token needs a block, by order of admission.
    pub(super) needs_blocks: Ordered<u64, SeqKey>,
    /// Whether a running sequence was cancelled.
    pub any_cancelled: bool,
    /// Time that requests waited for loads and fetches, summed over requests.
    pub load_wait: Duration,
    /// The same for KV transfers.
    pub kv_transfer_wait: Duration,
    /// KV transfers to request: the request, its prefill worker, the missing tokens.
    pub(super) pulls: Vec<(RequestId, WorkerId, u32)>,
    /// An empty list, kept for its memory.
    pub(super) spare_chunks: Vec<(SeqKey, u32)>,
}

impl Scheduler {
    pub fn new(window: u32, constant_blocks: u32) -> Self {
        Self { window, constant_blocks, ..Self::default() }
    }

    pub fn get_mut(&mut self, key: SeqKey) -> &mut Sequence {
        self.seqs[key.0 as usize].as_mut().expect("a sequence of this scheduler")
    }

    pub(super) fn get(&self, key: SeqKey) -> &Sequence {
        self.seqs[key.0 as usize].as_ref().expect("a sequence of this scheduler")
    }

    /// Adds a sequence at the end of the waiting queue.
    pub fn enqueue(&mut self, now: Instant, mut seq: Sequence) -> SeqKey {
        seq.came = now;
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

    /// Removes a sequence that does not run.
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
                self.waiting.remove(place);
                self.ready.remove(place);
            }
        }
        self.discard(key).lease
    }

    /// Removes a running sequence.
    pub fn remove(&mut self, key: SeqKey) -> (RequestId, Option<Lease>) {
        self.stop(key);
        let seq = self.discard(key);
        (seq.work.request.id, seq.lease)
    }

    fn discard(&mut self, key: SeqKey) -> Sequence {
        self.free.push(key);
        self.seqs[key.0 as usize].take().expect("a sequence of this scheduler")
    }

    /// Running sequences that were cancelled.
    pub fn cancelled(&self) -> Vec<SeqKey> {
        let all = self.running.values();
        all.filter(|&key| self.get(key).cancelled).collect()
    }

    pub const fn decoding(&self) -> u32 {
        self.decoding
    }

    /// Numbers of sequences: waiting or loading, and running.
    pub fn counts(&self) -> (u32, u32) {
        let waiting = self.waiting.len() + self.ready.len() + self.loading_count;
        (waiting as u32, self.running.len() as u32)
    }

    /// Admitted sequences that wait for a transfer.
    pub const fn loading(&self) -> u32 {
        self.loading_count as u32
    }

    /// What was found of the prompt of a sequence.
    pub fn hit(&self, key: SeqKey) -> Hit {
        self.get(key).hit
    }

    /// Prompt tokens that are not computed yet.
    pub fn queued_prefill_tokens(&self) -> u64 {
        let left = |key: SeqKey| u64::from(self.get(key).target - self.get(key).computed);
        // A sequence that waits for two transfers counts once.
        let loading: BTreeSet<_> = self.loading.values().flatten().collect();
        let admitted = loading.into_iter().copied().chain(self.ready.values());
        self.waiting.values().chain(admitted).chain(self.prefilling.values()).map(left).sum()
    }

    /// Calls `each` for every decoding sequence, with its answer tokens.
    pub fn generated(&self, key: SeqKey) -> u32 {
        self.get(key).generated
    }

    pub fn each_decoding(&self, mut each: impl FnMut(&Sequence, u32)) {
        for key in self.running.values() {
            let seq = self.get(key);
            if let State::Decoding { since, .. } = seq.state {
                each(seq, seq.generated + (self.steps - since) as u32);
            }
        }
    }

    /// Takes back the list of a finished step, to reuse its memory.
    pub fn recycle(&mut self, mut chunks: Vec<(SeqKey, u32)>) {
        chunks.clear();
        self.spare_chunks = chunks;
    }

    /// Panics unless every queue is empty and every sum is 0.
    pub fn check_at_rest(&self) {
        assert_eq!(self.counts(), (0, 0), "sequences are left in a queue");
        assert_eq!(
            (self.decoding, self.context),
            (0, 0),
            "context is counted without a decoding sequence"
        );
        assert_eq!(
            (self.filling, self.window_context),
            (0, 0),
            "a window is counted without a decoding sequence"
        );
        assert!(self.prefilling.is_empty() && self.due.is_empty() && self.needs_blocks.is_empty());
        assert_eq!(self.free.len(), self.seqs.len(), "sequences are left over");
    }
}
