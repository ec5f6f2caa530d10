//! The engine's state, and its loop: accept requests, start and end steps, announce changes.

use super::front_end::FrontEnd;
use super::gauges::Gauges;
use super::heat::Heat;
use super::iteration::Iteration;
use super::output::{EngineStats, Output, SubmitError};
use super::peer_sends::PeerSends;
use super::physics::Span;
use super::profile::Profile;
use super::scheduler::Scheduler;
use super::sequence::{SeqKey, Sequence};
use super::store::{BlockStore, Offer};
use super::transfers::KvTransfers;
use crate::event::KvBatch;
use crate::hash::Map;
use crate::id::{RequestId, TransferId, WorkerId};
use crate::request::Work;
use crate::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One simulated GPU worker.
#[derive(Debug)]
pub struct Engine {
    pub(super) worker: WorkerId,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    /// Shared by the workers of a kind.
    pub(super) profile: Arc<Profile>,
    pub(super) store: BlockStore,
    pub(super) front_end: FrontEnd,
    pub(super) scheduler: Scheduler,
    pub(super) iteration: Option<Iteration>,
    /// When the host is free to plan the next step.
    pub(super) host_free: Instant,
    /// When the last step ended.
    pub(super) last_end: Instant,
    /// When to start the next step, if none is running.
    pub(super) start_at: Option<Instant>,
    pub(super) ids: Map<RequestId, SeqKey>,
    /// When each fetch times out.
    pub(super) deadlines: BTreeSet<(Instant, TransferId)>,
    pub(super) peer_sends: PeerSends,
    pub(super) kv_transfers: KvTransfers,
    pub(super) heat: Heat,
    pub(super) gauges: Gauges,
    pub(super) stats: EngineStats,
}

impl Engine {
    /// An idle engine. `epoch` must grow with each restart of the worker.
    pub fn new(worker: WorkerId, epoch: u64, profile: impl Into<Arc<Profile>>) -> Self {
        let profile = profile.into();
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
            host_free: Instant::START,
            last_end: Instant::START,
            start_at: None,
            ids: Map::default(),
            deadlines: BTreeSet::new(),
            peer_sends: PeerSends::default(),
            kv_transfers: KvTransfers::default(),
            heat,
            gauges: Gauges::default(),
            stats: EngineStats::default(),
        }
    }

    /// Adds a request. The driver must have stepped the engine up to `now`; otherwise the request
    /// joins a step that started before it.
    ///
    /// # Errors
    /// See [`SubmitError`]. The engine is then unchanged.
    ///
    /// # Panics
    /// If the request's blocks have another size than the profile's, or do not cover its answer.
    pub fn submit(&mut self, now: Instant, work: Work) -> Result<(), SubmitError> {
        self.submit_offered(now, work, &[])
    }

    /// As [`Engine::submit`]. `offers` are the blocks that pools and peers have of the prompt. The
    /// engine decides at admission which to fetch.
    pub fn submit_offered(
        &mut self,
        now: Instant,
        work: Work,
        offers: &[Offer],
    ) -> Result<(), SubmitError> {
        self.accept(now, work, |sequence| sequence.offers.extend_from_slice(offers))
    }

    /// Checks a request and queues it. `configure` sets how it is served.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        work: Work,
        configure: impl FnOnce(&mut Sequence),
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
        if known || self.kv_transfers.holds(id) {
            return Err(SubmitError::DuplicateId);
        }
        let sequence = &work.sequence;
        assert_eq!(u64::from(sequence.block_size()), block_size, "{id} has another block size");
        // The last token of an answer has no KV.
        let named = u64::from(sequence.tokens()) + 1;
        assert!(named >= tokens, "{id} has {tokens} tokens, its chain covers {named}");
        let mut sequence = Sequence::new(work);
        configure(&mut sequence);
        let delay = self.profile.step.front_end(sequence.target);
        if delay == Duration::ZERO {
            self.enqueue(now, sequence);
        } else {
            self.front_end.push(now + delay, sequence);
        }
        Ok(())
    }

    fn enqueue(&mut self, now: Instant, sequence: Sequence) {
        let id = sequence.work.request.id;
        let key = self.scheduler.enqueue(now, sequence);
        self.ids.insert(id, key);
        self.make_room(now);
    }

    /// Cancels a request. The engine reports nothing more about it. Its slot and blocks are free at
    /// the end of the running step. Does nothing for an unknown request.
    pub fn cancel(&mut self, now: Instant, id: RequestId) {
        self.drop_held_kv(now, id);
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
            // A request that waits behind it may fit now.
            if !self.is_idle() {
                self.interrupt(now);
            }
        }
    }

    /// When to call [`Engine::step`] next; None while there is nothing to do.
    pub fn next_wake(&self) -> Option<Instant> {
        let running = self.iteration.as_ref().map(Iteration::end).or(self.start_at);
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        let (load, send) = (self.store.next_ready(), self.peer_sends.link.next_end());
        let (ready, kv) = (self.front_end.next_ready(), self.kv_transfers.next_wake());
        Instant::earliest([running, deadline, load, send, ready, kv])
    }

    /// Does all work that is due by `now`, and appends its results to `out`.
    pub fn step(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(due) = self.next_wake().filter(|&due| due <= now) {
            while let Some(transfer) = self.store.finish_load(due) {
                self.scheduler.load_ended(due, transfer);
                self.interrupt(due);
            }
            self.give_up_fetches(due);
            self.end_peer_sends(due, out);
            self.step_kv_transfers(due, out);
            while let Some(sequence) = self.front_end.pop(due) {
                self.enqueue(due, sequence);
            }
            if self.iteration.as_ref().is_some_and(|running| running.end() <= due) {
                self.end_iteration(due, out);
                self.plan_next(due, out);
            } else if self.iteration.is_none() {
                self.begin_iteration((due, due), out);
            }
            if self.store.has_events() && self.iteration.is_none() {
                self.announce(due, out);
            }
        }
    }

    /// Calls `each` for every decoding request, with its answer tokens by `now`.
    pub fn progress(&self, now: Instant, mut each: impl FnMut(RequestId, u32)) {
        let done = self.iteration.as_ref().map_or(0, |running| running.done_by(now));
        self.scheduler.each_decoding(|seq, made| {
            let made = (made + done).min(seq.output_tokens);
            each(seq.work.request.id, made);
        });
    }

    /// The answer tokens of a request by `now`; 0 for an unknown request.
    pub fn made(&self, now: Instant, id: RequestId) -> u32 {
        let Some(&key) = self.ids.get(&id) else { return 0 };
        let mut made = self.scheduler.generated(key);
        self.progress(now, |other, tokens| {
            if other == id {
                made = tokens;
            }
        });
        made
    }

    /// The worker's profile.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Counts since the engine started.
    pub fn stats(&self) -> EngineStats {
        EngineStats {
            evicted_blocks: self.store.evicted(),
            traffic: self.store.traffic().collect(),
            load_wait: self.scheduler.load_wait,
            ..self.stats.clone()
        }
    }

    /// The worker's blocks.
    pub const fn store(&self) -> &BlockStore {
        &self.store
    }

    /// Whether no request is queued or running.
    pub fn is_idle(&self) -> bool {
        self.ids.is_empty() && self.front_end.is_empty()
    }

    /// Panics unless the engine is idle, holds no lease, and all its counts are right. For tests.
    pub fn check_at_rest(&self) {
        assert!(self.ids.is_empty(), "{} requests are left on {}", self.ids.len(), self.worker);
        assert!(self.front_end.is_empty(), "requests are left in the front end");
        self.scheduler.check_at_rest();
        assert!(
            self.deadlines.is_empty() && self.peer_sends.leases.is_empty(),
            "transfers are left over"
        );
        self.kv_transfers.check_at_rest();
        assert_eq!(self.store.leases(), 0, "an idle engine holds leases");
        if cfg!(debug_assertions) {
            self.store.check();
        }
    }

    /// Ends the running iteration after its current step, so that the scheduler can act.
    pub(super) fn interrupt(&mut self, now: Instant) {
        match &mut self.iteration {
            Some(running) => running.cut(now),
            None => self.start_at = Some(self.start_at.unwrap_or_else(|| self.next_plan(now))),
        }
    }

    /// When an idle engine plans a step for what comes now.
    fn next_plan(&self, now: Instant) -> Instant {
        if self.profile.step.calibrated().is_some() { now.max(self.host_free) } else { now }
    }

    /// Makes room for a request that comes now, at the first step that is not yet planned.
    fn make_room(&mut self, now: Instant) {
        let step = &self.profile.step;
        match &mut self.iteration {
            Some(running) if step.is_asynchronous() => running.cut_for(now, step.output_taken()),
            _ => self.interrupt(now),
        }
    }

    /// A step has ended. The next one was planned while it ran, where the host had the time.
    fn plan_next(&mut self, at: Instant, out: &mut Vec<Output>) {
        if self.host_free > at {
            self.start_at = Some(self.host_free);
        } else {
            self.begin_iteration((at, self.host_free), out);
        }
    }

    /// Begins the next step `at` the moment the device is free, as it was `planned` then or before.
    fn begin_iteration(&mut self, (at, planned): (Instant, Instant), out: &mut Vec<Output>) {
        self.start_at = None;
        let plan = self.scheduler.plan((at, planned), &mut self.store, &self.profile, |id, hit| {
            out.push(Output::Admitted { id, at, hit });
        });
        self.stats.preemptions += plan.preempted;
        self.stats.recomputed_tokens += plan.recomputed_tokens;
        self.stats.prefill_tokens += u64::from(plan.prefill_tokens);
        self.announce_fetches(at, out);
        self.announce_pulls(at, out);
        self.step_planned(plan.shape.seqs > 0);
        if plan.shape.seqs == 0 {
            if let Some(came) = plan.came_late {
                // The host sees it when it has taken in the last step's output, and not before it came:
                // commands may come after the instant at which the engine was due.
                self.start_at = Some(came.max(at + self.profile.step.output_taken()));
            }
            return;
        }
        let step = &self.profile.step;
        let shape = &plan.shape;
        let growth_ns = step.growth_ns(shape.decoding, plan.filling, shape.unevenness);
        let slower = self.heat.slower_by(at);
        let work = step.ns(shape) * slower;
        let called = -(at.since(planned).as_nanos() as f64);
        let alone = Span { start: 0.0, length: work, launched: 0.0 };
        let launch = step.launch(shape, plan.joining);
        let span = launch.map_or(alone, |launch| launch.run(called, work));
        self.iteration = Some(Iteration {
            start: at + Duration::from_nanos_f64(span.start),
            steps: plan.steps,
            first_ns: span.length,
            growth_ns: growth_ns * slower,
            launched: at + Duration::from_nanos_f64(span.launched),
            chunks: plan.chunks,
        });
    }

    fn end_iteration(&mut self, at: Instant, out: &mut Vec<Output>) {
        let done = self.iteration.take().expect("a running iteration");
        // Requester output the host waits for before it plans the next step.
        let awaited = if !self.profile.step.is_asynchronous() {
            at
        } else if done.steps > 1 {
            done.end_of(done.steps - 1)
        } else {
            self.last_end
        };
        self.host_free = done.launched.max(awaited + self.profile.step.output_taken());
        self.last_end = at;
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
                let visible = !seq.prefill_only;
                if seq.generated == 0 && !seq.cancelled && visible {
                    out.push(Output::FirstToken { id: seq.work.request.id, at });
                }
                self.stats.output_tokens += u64::from(visible);
                self.scheduler.start_decoding(key, self.profile.block_size);
            }
        }
        self.scheduler.recycle(done.chunks);
        while let Some(key) = self.scheduler.pop_due() {
            let seq = self.scheduler.get_mut(key);
            // The newest token has no KV yet, so only computed tokens fill blocks.
            let named = seq.computed / self.profile.block_size;
            self.store.commit(
                at,
                seq.lease.as_mut().expect("the lease of a running sequence"),
                named,
            );
            if seq.generated >= seq.output_tokens {
                if seq.prefill_only && !seq.cancelled {
                    self.hold_prefilled(at, key, out);
                    continue;
                }
                if !seq.cancelled {
                    let (id, cached_tokens) = (seq.work.request.id, seq.cached_tokens);
                    let (hit, output_tokens) = (seq.hit, seq.generated);
                    out.push(Output::Finished { id, at, cached_tokens, hit, output_tokens });
                }
                self.remove(key);
            } else {
                self.scheduler.continue_decoding(key, self.profile.block_size);
            }
        }
        if core::mem::take(&mut self.scheduler.any_cancelled) {
            for key in self.scheduler.cancelled() {
                self.remove(key);
            }
        }
        self.step_taken_in();
        self.announce(at, out);
    }

    fn remove(&mut self, key: SeqKey) {
        let (id, lease) = self.scheduler.remove(key);
        self.ids.remove(&id);
        if let Some(lease) = lease {
            self.store.release(lease);
        }
    }

    /// Drops the blocks that no request holds: from HBM, or with `external` from all tiers. Returns how many
    /// copies went. The driver must have stepped the engine up to now, and announces the change.
    pub fn reset_cache(&mut self, external: bool) -> u64 {
        self.store.reset(external)
    }

    /// Reports the store's changes now, without waiting for the end of the step.
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
