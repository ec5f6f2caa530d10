//! plan

use super::queues::Scheduler;
use crate::engine::profile::{Profile, StepShape};
use crate::engine::sequence::{Handover, SeqKey, State};
use crate::engine::store::{BlockStore, Hit};
use crate::id::RequestId;
use crate::time::Instant;

/// What to run next.
#[derive(Debug, Default)]
pub(in crate::engine) struct Plan {
    pub shape: StepShape,
    /// How many steps of this shape (the context growing) until something must be looked at.
    pub steps: u32,
    pub filling: u32,
    pub chunks: Vec<(SeqKey, u32)>,
    pub prefill_tokens: u32,
    pub preempted: u64,
    pub recomputed_tokens: u64,
}

impl Scheduler {
    /// Decides the next step. `admitted` hears of each request that runs for the first time.
    pub fn plan(
        &mut self,
        now: Instant,
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
            self.admit(now, &mut budget, store, profile, &mut plan, admitted);
        }
        plan.filling = self.filling;
        plan.shape.tokens += self.decoding;
        plan.shape.seqs += self.decoding;
        plan.shape.decoding += self.decoding;
        plan.shape.context += self.context;
        plan.shape.window_context += self.window_context;
        plan.steps = match self.due.first() {
            Some(&(due, _)) if plan.chunks.is_empty() => (due - self.steps) as u32,
            _ => 1,
        };
        plan
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
}
