//! worker

use super::front_end::FrontEnd;
use super::handover::Handovers;
use super::heat::Heat;
use super::iteration::Iteration;
use super::loans::Loans;
use super::output::{EngineStats, Output, SubmitError};
use super::profile::Profile;
use super::scheduler::Scheduler;
use super::sequence::{SeqKey, Sequence};
use super::store::{BlockStore, Offer};
use crate::event::KvBatch;
use crate::hash::Map;
use crate::id::{RequestId, TransferId, WorkerId};
use crate::request::Work;
use crate::time::{Duration, Instant};
use std::collections::BTreeSet;

#[derive(Debug)]
pub struct Engine {
    pub(super) worker: WorkerId,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) profile: Profile,
    pub(super) store: BlockStore,
    pub(super) front_end: FrontEnd,
    pub(super) scheduler: Scheduler,
    pub(super) iteration: Option<Iteration>,
    /// What the last step without prompts took.
    pub(super) decode_step_ns: f64,
    /// Something to do came while nothing was running.
    pub(super) kick: Option<Instant>,
    pub(super) ids: Map<RequestId, SeqKey>,
    /// When a fetch is given up.
    pub(super) deadlines: BTreeSet<(Instant, TransferId)>,
    pub(super) loans: Loans,
    pub(super) handovers: Handovers,
    pub(super) heat: Heat,
    pub(super) stats: EngineStats,
}

impl Engine {
    /// `epoch` tells this life of the worker from the ones before it.
    pub fn new(worker: WorkerId, epoch: u64, profile: Profile) -> Self {
        let store = BlockStore::new(&profile);
        let heat = Heat::new(profile.hardware().and_then(|hardware| hardware.sustained));
        let scheduler = Scheduler::new(profile.step.window(), profile.constant_blocks());
        Self {
            worker,
            epoch,
            seq: 0,
            profile,
            store,
            front_end: FrontEnd::default(),
            scheduler,
            iteration: None,
            decode_step_ns: 0.0,
            kick: None,
            ids: Map::default(),
            deadlines: BTreeSet::new(),
            loans: Loans::default(),
            handovers: Handovers::default(),
            heat,
            stats: EngineStats::default(),
        }
    }

    /// What is due before `now` must have been stepped, or the request joins a step that began
    /// before it came.
    pub fn submit(&mut self, now: Instant, work: Work) -> Result<(), SubmitError> {
        self.submit_offered(now, work, &[])
    }

    /// As [`Engine::submit`]; `offers` says what pools and peers have of the prompt. What to make of
    /// it is decided at admission.
    pub fn submit_offered(
        &mut self,
        now: Instant,
        work: Work,
        offers: &[Offer],
    ) -> Result<(), SubmitError> {
        self.take(now, work, |sequence| sequence.offers.extend_from_slice(offers))
    }

    /// `with` is told how the request is to be served.
    pub(super) fn take(
        &mut self,
        now: Instant,
        work: Work,
        with: impl FnOnce(&mut Sequence),
    ) -> Result<(), SubmitError> {
        let id = work.request.id;
        if work.request.prompt.tokens() == 0 {
            return Err(SubmitError::EmptyPrompt);
        }
        if work.output_tokens == 0 {
            return Err(SubmitError::EmptyAnswer);
        }
        let tokens = u64::from(work.request.prompt.tokens()) + u64::from(work.output_tokens);
        let block_size = u64::from(self.profile.block_size);
        let constant = u64::from(self.profile.constant_blocks());
        let needed = tokens.div_ceil(block_size) + constant;
        // Token counts are 32 bits wide, also where memory has no limit.
        let countable = u64::from(u32::MAX) / block_size + constant;
        let capacity = self.profile.hbm_blocks().map_or(countable, |room| room.min(countable));
        if needed > capacity {
            return Err(SubmitError::TooLarge { needed, capacity });
        }
        let known = self.ids.contains_key(&id) || self.front_end.contains(id);
        if known || self.handovers.holds(id) {
            return Err(SubmitError::DuplicateId);
        }
        let sequence = &work.sequence;
        assert_eq!(u64::from(sequence.block_size()), block_size, "{id} is in other blocks");
        // The last token of an answer has no KV.
        let named = u64::from(sequence.tokens()) + 1;
        assert!(named >= tokens, "{id} has {tokens} tokens, its chain names {named}");
        let mut sequence = Sequence::new(work);
        with(&mut sequence);
        let busy = self.scheduler.decoding() > 0;
        let step_ns = if busy { self.decode_step_ns } else { 0.0 };
        let delay = self.profile.step.front_end(sequence.target, step_ns);
        if delay == Duration::ZERO {
            self.enqueue(now, sequence);
        } else {
            self.front_end.push(now + delay, sequence);
        }
        Ok(())
    }

    fn enqueue(&mut self, now: Instant, sequence: Sequence) {
        let id = sequence.work.request.id;
        let key = self.scheduler.enqueue(sequence);
        self.ids.insert(id, key);
        self.interrupt(now);
    }

    /// Nothing more is said of the request; its slot and blocks are free again by the end of the
    /// running step.
    pub fn cancel(&mut self, now: Instant, id: RequestId) {
        self.drop_handover(now, id);
        if self.front_end.cancel(id) {
            return;
        }
        let Some(&key) = self.ids.get(&id) else { return };
        if self.scheduler.is_running(key) {
            self.scheduler.get_mut(key).cancelled = true;
            self.scheduler.any_cancelled = true;
            self.interrupt(now);
        } else {
            self.ids.remove(&id);
            if let Some(lease) = self.scheduler.withdraw(key) {
                self.store.release(lease);
            }
            // Who stood behind it may fit now.
            if !self.is_idle() {
                self.interrupt(now);
            }
        }
    }

    /// When [`Engine::step`] has something to do; None while idle.
    pub fn next_wake(&self) -> Option<Instant> {
        let running = self.iteration.as_ref().map(Iteration::end).or(self.kick);
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        let transfers = [self.store.next_ready(), deadline, self.loans.link.next_end()];
        let rest = [running, self.front_end.next_ready(), self.handovers.next_wake()];
        let all = transfers.into_iter().chain(rest);
        all.flatten().min()
    }

    /// Does all that is due by `now`.
    pub fn step(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(due) = self.next_wake().filter(|&due| due <= now) {
            while let Some(transfer) = self.store.finish_load(due) {
                self.scheduler.loaded(due, transfer);
                self.interrupt(due);
            }
            self.give_up_fetches(due);
            self.end_loans(due, out);
            self.step_handovers(due, out);
            while let Some(sequence) = self.front_end.pop(due) {
                self.enqueue(due, sequence);
            }
            if self.iteration.as_ref().is_some_and(|running| running.end() <= due) {
                self.end_iteration(due, out);
                self.begin_iteration(due, out);
            } else if self.iteration.is_none() {
                self.begin_iteration(due, out);
            }
            if self.store.has_events() && self.iteration.is_none() {
                self.announce(due, out);
            }
        }
    }

    /// How many tokens each decoding request has made by `now`.
    pub fn progress(&self, now: Instant, mut each: impl FnMut(RequestId, u32)) {
        let done = self.iteration.as_ref().map_or(0, |running| running.done_by(now));
        self.scheduler.each_decoding(|seq, made| {
            let made = (made + done).min(seq.work.output_tokens);
            each(seq.work.request.id, made);
        });
    }

    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    pub fn stats(&self) -> EngineStats {
        EngineStats {
            traffic: self.store.traffic().collect(),
            load_wait: self.scheduler.load_wait,
            ..self.stats.clone()
        }
    }

    pub const fn store(&self) -> &BlockStore {
        &self.store
    }

    /// Nothing is queued or running.
    pub fn is_idle(&self) -> bool {
        self.ids.is_empty() && self.front_end.is_empty()
    }

    /// An idle engine holds no lease and every count is right.
    pub fn check_at_rest(&self) {
        assert!(self.ids.is_empty(), "{} requests are left on {}", self.ids.len(), self.worker);
        assert!(self.front_end.is_empty(), "requests are on their way to the scheduler");
        self.scheduler.check_at_rest();
        assert!(self.deadlines.is_empty() && self.loans.leases.is_empty(), "transfers are left");
        self.handovers.check_at_rest();
        assert_eq!(self.store.leases(), 0, "an idle engine holds leases");
        if cfg!(debug_assertions) {
            self.store.check();
        }
    }

    /// Makes room for something new at the next step.
    pub(super) fn interrupt(&mut self, now: Instant) {
        match &mut self.iteration {
            Some(running) => running.cut(now),
            None => self.kick = Some(self.kick.unwrap_or(now)),
        }
    }

    fn begin_iteration(&mut self, at: Instant, out: &mut Vec<Output>) {
        self.kick = None;
        let plan = self.scheduler.plan(at, &mut self.store, &self.profile, |id, hit| {
            out.push(Output::Admitted { id, at, hit });
        });
        self.stats.preemptions += plan.preempted;
        self.stats.recomputed_tokens += plan.recomputed_tokens;
        self.stats.prefill_tokens += u64::from(plan.prefill_tokens);
        self.ask(at, out);
        self.ask_for_handovers(at, out);
        if plan.shape.seqs == 0 {
            return;
        }
        let growth_ns = self.profile.step.growth_ns(plan.shape.decoding, plan.filling);
        let slower = self.heat.slower_by(at);
        let iteration = Iteration {
            start: at,
            steps: plan.steps,
            first_ns: self.profile.step.ns(&plan.shape) * slower,
            growth_ns: growth_ns * slower,
            chunks: plan.chunks,
        };
        if iteration.chunks.is_empty() {
            self.decode_step_ns = iteration.first_ns;
        }
        self.iteration = Some(iteration);
    }

    fn end_iteration(&mut self, at: Instant, out: &mut Vec<Output>) {
        let done = self.iteration.take().expect("an iteration that ends");
        self.stats.steps += u64::from(done.steps);
        self.stats.busy += at.since(done.start);
        self.heat.worked(done.start, at);
        let decoded = u64::from(self.scheduler.decoding()) * u64::from(done.steps);
        self.stats.output_tokens += decoded;
        self.scheduler.advance(done.steps);
        for &(key, tokens) in &done.chunks {
            let seq = self.scheduler.get_mut(key);
            seq.computed += tokens;
            if seq.computed == seq.target {
                let shown = !seq.hands_over;
                if seq.generated == 0 && !seq.cancelled && shown {
                    out.push(Output::FirstToken { id: seq.work.request.id, at });
                }
                self.stats.output_tokens += u64::from(shown);
                self.scheduler.start_decoding(key, self.profile.block_size);
            }
        }
        self.scheduler.recycle(done.chunks);
        while let Some(key) = self.scheduler.pop_due() {
            let seq = self.scheduler.get_mut(key);
            // The newest token has no KV yet: what counts is what was computed.
            let named = seq.computed / self.profile.block_size;
            self.store.commit(at, seq.lease.as_mut().expect("running on a lease"), named);
            if seq.generated >= seq.work.output_tokens {
                if seq.hands_over && !seq.cancelled {
                    self.hold(at, key, out);
                    continue;
                }
                if !seq.cancelled {
                    let (id, cached_tokens) = (seq.work.request.id, seq.cached_tokens);
                    out.push(Output::Finished { id, at, cached_tokens, hit: seq.hit });
                }
                self.remove(key);
            } else {
                self.scheduler.go_on(key, self.profile.block_size);
            }
        }
        if core::mem::take(&mut self.scheduler.any_cancelled) {
            for key in self.scheduler.cancelled() {
                self.remove(key);
            }
        }
        self.announce(at, out);
    }

    fn remove(&mut self, key: SeqKey) {
        let (id, lease) = self.scheduler.remove(key);
        self.ids.remove(&id);
        if let Some(lease) = lease {
            self.store.release(lease);
        }
    }

    /// Says what the store gained and lost, without waiting for the step's end.
    pub fn announce(&mut self, at: Instant, out: &mut Vec<Output>) {
        let puts = self.store.take_puts().into_iter();
        out.extend(puts.map(|(run, owner)| Output::Put { at, run, owner }));
        if self.store.has_events() {
            self.seq += 1;
            let events = self.store.take_events();
            let (source, epoch, seq) = (self.worker.into(), self.epoch, self.seq);
            out.push(Output::Kv { at, batch: KvBatch { source, epoch, seq, events } });
        }
    }
}
