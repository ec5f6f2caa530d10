//! Who runs in the next step: first those that decode, then prompts under way, then the waiting in
//! the order they came, within `max_num_seqs` sequences and `max_num_batched_tokens` tokens.
//!
//! A request is admitted when its whole prompt has room; its answer takes blocks as it grows. When
//! none can be freed, the sequence admitted last gives up its blocks and computes again later
//! (preemption by recompute), as vLLM does it.
//!
//! A decoding sequence makes one token in every step, so where it stands is counted from the step
//! it began to decode in, and it is looked at only when its blocks are full or its answer is.

mod admission;
mod loading;

use crate::engine::physics::Joining;
use crate::engine::profile::{Profile, StepShape, StepTime};
use crate::engine::sequence::{Handover, SeqKey, Sequence, State};
use crate::engine::store::{BlockStore, Hit, Lease};
use crate::id::{RequestId, TransferId, WorkerId};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// How many tokens a decoding sequence takes blocks for at a time, at least; a vLLM worker takes them
/// one block at a time. It lets small blocks cost what large ones do, and holds back at most so many
/// tokens a sequence. Where memory is short it is one block at a time here too.
const LOOK_AHEAD: u32 = 128;

#[derive(Debug, Default)]
pub(super) struct Scheduler {
    seqs: Vec<Option<Sequence>>,
    free: Vec<SeqKey>,
    waiting: BTreeMap<i64, SeqKey>,
    /// Counts up, for those that come.
    next_place: i64,
    /// Counts down, for those that were preempted.
    front_place: i64,
    loading: BTreeMap<TransferId, Vec<SeqKey>>,
    loading_count: usize,
    /// Loaded and holding their blocks: they run before the waiting.
    ready: BTreeMap<i64, SeqKey>,
    /// By order of admission.
    running: BTreeMap<u64, SeqKey>,
    prefilling: BTreeMap<u64, SeqKey>,
    admissions: u64,
    /// Steps since the engine began.
    steps: u64,
    decoding: u32,
    /// Tokens that all decoding sequences attend to in the next step.
    context: u64,
    /// The same for layers with a sliding window.
    window_context: u64,
    /// Decoding sequences whose window still fills: each step reads one token more for each.
    filling: u32,
    /// Tokens; 0 without such layers.
    window: u32,
    /// Blocks that each sequence holds besides those of its tokens.
    constant_blocks: u32,
    /// How uneven reading the decoding sequences' contexts is; None: they are others than before.
    unevenness: Option<f64>,
    /// The longest of these contexts, less the steps since the engine began: all grow alike.
    longest: i64,
    /// Decoding sequences by the step after which they must be looked at.
    due: BTreeSet<(u64, SeqKey)>,
    /// Decoding sequences whose next token needs a block, by order of admission.
    hungry: BTreeMap<u64, SeqKey>,
    pub any_cancelled: bool,
    /// Time that requests have waited for transfers, all together.
    pub load_wait: Duration,
    /// The same for hand-overs.
    pub handover_wait: Duration,
    /// Hand-overs to be asked for: of which request, from whom, how many tokens.
    pulls: Vec<(RequestId, WorkerId, u32)>,
    spare: Vec<(SeqKey, u32)>,
}

/// What to run next.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub shape: StepShape,
    /// How many steps of this shape (the context growing) until something must be looked at.
    pub steps: u32,
    pub filling: u32,
    pub chunks: Vec<(SeqKey, u32)>,
    pub prefill_tokens: u32,
    pub preempted: u64,
    pub recomputed_tokens: u64,
    /// Requests that run for the first time.
    pub joining: Joining,
    /// A request waits that came after the step was planned.
    pub came_late: bool,
}

impl Scheduler {
    pub fn new(window: u32, constant_blocks: u32) -> Self {
        Self { window, constant_blocks, ..Self::default() }
    }

    pub fn get_mut(&mut self, key: SeqKey) -> &mut Sequence {
        self.seqs[key.0 as usize].as_mut().expect("a sequence that exists")
    }

    fn get(&self, key: SeqKey) -> &Sequence {
        self.seqs[key.0 as usize].as_ref().expect("a sequence that exists")
    }

    pub fn enqueue(&mut self, now: Instant, mut seq: Sequence) -> SeqKey {
        self.next_place += 1;
        seq.came = now;
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

    /// `steps` steps have run.
    pub fn advance(&mut self, steps: u32) {
        self.steps += u64::from(steps);
        self.context += u64::from(steps) * u64::from(self.decoding);
        self.window_context += u64::from(steps) * u64::from(self.filling);
    }

    /// The prompt is computed and the first (next, after a preemption) token is sampled.
    pub fn start_decoding(&mut self, key: SeqKey, block_size: u32) {
        let seq = self.get_mut(key);
        let State::Prefilling(admitted) = seq.state else { unreachable!("it was a prompt") };
        seq.generated += 1;
        self.prefilling.remove(&admitted);
        self.decoding += 1;
        // The next step computes the sampled token, which attends to itself too.
        let reads = self.get(key).computed + 1;
        self.context += u64::from(reads);
        self.window_context += u64::from(reads.min(self.window));
        self.unevenness = None;
        self.schedule_look(key, admitted, block_size);
    }

    /// A sequence that was looked at goes on decoding.
    pub fn go_on(&mut self, key: SeqKey, block_size: u32) {
        let State::Decoding { admitted, .. } = self.get(key).state else {
            unreachable!("it was decoding")
        };
        self.schedule_look(key, admitted, block_size);
    }

    fn schedule_look(&mut self, key: SeqKey, admitted: u64, block_size: u32) {
        let (since, window, constant) = (self.steps, self.window, self.constant_blocks);
        let seq = self.get_mut(key);
        let stride = LOOK_AHEAD.next_multiple_of(block_size);
        let left = seq.work.output_tokens - seq.generated;
        let mut distance = (stride - seq.computed % stride).min(left);
        let filled_before = core::mem::replace(&mut seq.filling, seq.computed + 1 < window);
        if seq.filling {
            // Looked at again when the window is full, so that each stretch grows evenly.
            distance = distance.min(window - 1 - seq.computed);
        }
        let filling = (u32::from(seq.filling), u32::from(filled_before));
        let due = since + u64::from(distance);
        seq.state = State::Decoding { admitted, since, due };
        let blocks = (seq.computed + distance).div_ceil(block_size) + constant;
        let hungry = seq.lease.as_ref().is_some_and(|lease| lease.blocks() < blocks);
        self.filling = self.filling + filling.0 - filling.1;
        self.due.insert((due, key));
        if hungry {
            self.hungry.insert(admitted, key);
        }
    }

    /// Takes the next sequence that must be looked at now, brought up to date.
    pub fn pop_due(&mut self) -> Option<SeqKey> {
        let &(due, key) = self.due.first().filter(|&&(due, _)| due <= self.steps)?;
        self.due.pop_first();
        self.catch_up(key);
        debug_assert_eq!(due, self.steps);
        Some(key)
    }

    fn catch_up(&mut self, key: SeqKey) {
        let steps = self.steps;
        let seq = self.get_mut(key);
        if let State::Decoding { since, admitted, due } = seq.state {
            let made = (steps - since) as u32;
            seq.generated += made;
            seq.computed += made;
            seq.state = State::Decoding { since: steps, admitted, due };
        }
    }

    /// Takes a sequence off the running, wherever it stands.
    fn stop(&mut self, key: SeqKey) {
        self.catch_up(key);
        match self.get(key).state {
            State::Prefilling(admitted) => {
                self.prefilling.remove(&admitted);
                self.running.remove(&admitted);
            }
            State::Decoding { admitted, due, .. } => {
                self.decoding -= 1;
                self.unevenness = None;
                let reads = self.get(key).computed + 1;
                self.context -= u64::from(reads);
                self.window_context -= u64::from(reads.min(self.window));
                let filled = core::mem::take(&mut self.get_mut(key).filling);
                self.filling -= u32::from(filled);
                self.due.remove(&(due, key));
                self.hungry.remove(&admitted);
                self.running.remove(&admitted);
            }
            State::Waiting | State::Loading(..) => unreachable!("it does not run"),
        }
    }

    pub fn recycle(&mut self, mut chunks: Vec<(SeqKey, u32)>) {
        chunks.clear();
        self.spare = chunks;
    }

    /// Decides the next step, for requests that came by `planned`. `admitted` hears of each that runs for
    /// the first time.
    pub fn plan(
        &mut self,
        (now, planned): (Instant, Instant),
        store: &mut BlockStore,
        profile: &Profile,
        admitted: impl FnMut(RequestId, Hit),
    ) -> Plan {
        let mut plan = Plan { chunks: core::mem::take(&mut self.spare), ..Plan::default() };
        self.feed(now, store, profile.block_size, &mut plan);
        let mut budget = profile.max_num_batched_tokens.saturating_sub(self.decoding);
        let mut next = self.prefilling.first_key_value().map(|(&order, &key)| (order, key));
        while let Some((order, key)) = next.filter(|_| budget > 0) {
            self.take_chunk(now, key, &mut budget, store, profile.block_size, &mut plan);
            next = self.prefilling.range(order + 1..).next().map(|(&order, &key)| (order, key));
        }
        if plan.preempted == 0 || self.running.is_empty() {
            self.admit((now, planned), &mut budget, store, profile, &mut plan, admitted);
        }
        plan.filling = self.filling;
        plan.shape.tokens += self.decoding;
        plan.shape.seqs += self.decoding;
        plan.shape.decoding += self.decoding;
        plan.shape.context += self.context;
        plan.shape.window_context += self.window_context;
        if self.decoding > 0 && profile.step.is_uneven() {
            plan.shape.unevenness = self.spread(&profile.step);
            let longest = self.longest + self.steps as i64;
            plan.shape.longest = plan.shape.longest.max(longest as u32);
        }
        plan.steps = match self.due.first() {
            Some(&(due, _)) if plan.chunks.is_empty() && !plan.came_late => {
                (due - self.steps) as u32
            }
            _ => 1,
        };
        plan
    }

    /// How uneven the decoding sequences' contexts are. It is looked at when others begin to decode or end:
    /// while all grow alike it hardly changes.
    fn spread(&mut self, step: &StepTime) -> f64 {
        if let Some(known) = self.unevenness {
            return known;
        }
        let steps = self.steps;
        let contexts = self.running.values().filter_map(|&key| match self.get(key) {
            Sequence { computed, state: State::Decoding { since, .. }, .. } => {
                Some(computed + (steps - since) as u32 + 1)
            }
            _ => None,
        });
        let longest = contexts.clone().max().unwrap_or(0);
        let unevenness = step.unevenness(contexts);
        self.longest = i64::from(longest) - steps as i64;
        self.unevenness = Some(unevenness);
        unevenness
    }

    /// Gives decoding sequences the blocks they need until they are looked at again, or where that
    /// is too much the one they need next; who was admitted last gives way.
    fn feed(&mut self, now: Instant, store: &mut BlockStore, block_size: u32, plan: &mut Plan) {
        while let Some((&admitted, &key)) = self.hungry.first_key_value() {
            let (steps, constant) = (self.steps, self.constant_blocks);
            let seq = self.get_mut(key);
            let State::Decoding { since, due, .. } = seq.state else {
                unreachable!("who is hungry decodes")
            };
            let until = (due - steps) as u32;
            let lease = seq.lease.as_mut().expect("running on a lease");
            if store
                .grow(now, lease, (seq.computed + until).div_ceil(block_size) + constant)
                .is_ok()
            {
                self.hungry.remove(&admitted);
            } else if store
                .grow(now, lease, (seq.computed + 1).div_ceil(block_size) + constant)
                .is_ok()
            {
                let room = (lease.blocks() - constant) * block_size - seq.computed;
                let sooner = steps + u64::from(room.min(until));
                seq.state = State::Decoding { admitted, since, due: sooner };
                self.due.remove(&(due, key));
                self.due.insert((sooner, key));
                self.hungry.remove(&admitted);
            } else {
                let (_, &last) = self.running.last_key_value().expect("somebody runs");
                self.preempt(last, store, plan);
            }
        }
    }

    fn preempt(&mut self, key: SeqKey, store: &mut BlockStore, plan: &mut Plan) {
        self.stop(key);
        // Ahead of all others. No place is given twice: one that comes back from a load stands
        // among the ready under its own.
        self.front_place -= 1;
        let place = self.front_place;
        let seq = self.get_mut(key);
        plan.preempted += 1;
        store.release(seq.lease.take().expect("running on a lease"));
        seq.target = seq.work.request.prompt.tokens() + seq.generated;
        seq.computed = 0;
        seq.place = place;
        seq.state = State::Waiting;
        // What was handed over went with the blocks.
        seq.handover = Handover::None;
        self.waiting.insert(place, key);
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
