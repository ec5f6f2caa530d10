//! The plan of the next step, and preemption where memory is short.

use super::queues::Scheduler;
use crate::engine::physics::Joining;
use crate::engine::profile::{Profile, StepShape, StepTime};
use crate::engine::sequence::{KvTransfer, SeqKey, Sequence, State};
use crate::engine::store::{BlockStore, Hit};
use crate::id::RequestId;
use crate::time::Instant;
use smallvec::SmallVec;

/// The next step, or the next stretch of decode steps.
#[derive(Debug, Default)]
pub(in crate::engine) struct Plan {
    /// What the first step is made of.
    pub shape: StepShape,
    /// The number of steps until a sequence must be updated. The context grows with each.
    pub steps: u32,
    /// Decoding sequences whose sliding window is not full.
    pub filling: u32,
    /// Prompt tokens to compute for each sequence.
    pub chunks: Vec<(SeqKey, u32)>,
    pub prefill_tokens: u32,
    /// Sequences that were preempted.
    pub preempted: u64,
    /// Tokens that preempted sequences compute again.
    pub recomputed_tokens: u64,
    /// Requests that run for the first time.
    pub joining: Joining,
    /// When the first request came that came after the step was planned, and waits.
    pub came_late: Option<Instant>,
}

impl Scheduler {
    /// Plans the next step, for requests that came by `planned`. Calls `admitted` for each request that is admitted for the first time.
    pub fn plan(
        &mut self,
        (now, planned): (Instant, Instant),
        store: &mut BlockStore,
        profile: &Profile,
        admitted: impl FnMut(RequestId, Hit),
    ) -> Plan {
        let mut plan = Plan { chunks: core::mem::take(&mut self.spare_chunks), ..Plan::default() };
        self.grow_decoding(now, store, profile.block_size, &mut plan);
        let mut budget = profile.max_num_batched_tokens.saturating_sub(self.decoding);
        let mut next = self.prefilling.first();
        while let Some((order, key)) = next.filter(|_| budget > 0) {
            self.take_chunk(now, key, &mut budget, store, profile.block_size, &mut plan);
            next = self.prefilling.after(order);
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
            Some(((due, _), ())) if plan.chunks.is_empty() && plan.came_late.is_none() => {
                (due - self.steps) as u32
            }
            _ => 1,
        };
        plan
    }

    /// How uneven the contexts of decoding sequences are. It is computed when a sequence starts or
    /// ends to decode: while all grow alike it hardly changes.
    fn spread(&mut self, step: &StepTime) -> f64 {
        if let Some(known) = self.unevenness {
            return known;
        }
        let steps = self.steps;
        let contexts = self.running.values().filter_map(|key| match self.get(key) {
            Sequence { computed, state: State::Decoding { since, .. }, .. } => {
                Some(computed + (steps - since) as u32 + 1)
            }
            _ => None,
        });
        let mut all = SmallVec::<[u32; 256]>::new();
        all.extend(contexts);
        let longest = all.iter().copied().max().unwrap_or(0);
        let unevenness = step.unevenness(all.iter().copied());
        self.longest = i64::from(longest) - steps as i64;
        self.unevenness = Some(unevenness);
        unevenness
    }

    /// Gives decoding sequences the blocks until their next update, or if those have no room, one
    /// block. If that has no room, preempts the sequence admitted last.
    fn grow_decoding(
        &mut self,
        now: Instant,
        store: &mut BlockStore,
        block_size: u32,
        plan: &mut Plan,
    ) {
        while let Some((admitted, key)) = self.needs_blocks.first() {
            let (steps, constant) = (self.steps, self.constant_blocks);
            let seq = self.get_mut(key);
            let State::Decoding { since, due, .. } = seq.state else {
                unreachable!("a sequence that decodes")
            };
            let until = (due - steps) as u32;
            let lease = seq.lease.as_mut().expect("the lease of a running sequence");
            if store
                .grow(now, lease, (seq.computed + until).div_ceil(block_size) + constant)
                .is_ok()
            {
                self.needs_blocks.remove(admitted);
            } else if store
                .grow(now, lease, (seq.computed + 1).div_ceil(block_size) + constant)
                .is_ok()
            {
                let room = (lease.blocks() - constant) * block_size - seq.computed;
                let sooner = steps + u64::from(room.min(until));
                seq.state = State::Decoding { admitted, since, due: sooner };
                self.due.remove((due, key));
                self.due.insert((sooner, key), ());
                self.needs_blocks.remove(admitted);
            } else {
                let (_, last) = self.running.last().expect("a running sequence");
                self.preempt(last, store, plan);
            }
        }
    }

    /// Takes a sequence's blocks away and returns it to the queue.
    fn preempt(&mut self, key: SeqKey, store: &mut BlockStore, plan: &mut Plan) {
        self.stop(key);
        // It waits before all others. Places are never reused, because a sequence whose load has
        // ended is in `ready` under its old place.
        self.front_place -= 1;
        let place = self.front_place;
        let seq = self.get_mut(key);
        plan.preempted += 1;
        store.release(seq.lease.take().expect("the lease of a running sequence"));
        seq.target = seq.work.request.prompt.tokens() + seq.generated;
        seq.computed = 0;
        seq.place = place;
        seq.state = State::Waiting;
        // KV from a prefill worker is lost with the blocks.
        seq.kv_transfer = KvTransfer::None;
        self.waiting.insert(place, key);
    }
}
