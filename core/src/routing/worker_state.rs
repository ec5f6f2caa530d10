//! A worker, as the router knows it: what it said, and what is booked on it.
//!
//! Rules read a few figures of every worker for each request. These stand by themselves ([`Queue`] and
//! [`Hot`]), so that a walk over a large fleet reads half a cache line of each worker, or one.

use super::decision::Decision;
use super::kinds::{Kind, Kinds};
use super::polled::Polled;
use super::siblings::{Unbooked, Waiting};
use crate::event::{LoadReport, Role, WorkerInfo};
use crate::id::RequestId;
use crate::request::Request;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// A worker, as the router knows it. It only points to what is known, so it is passed by value.
#[derive(Clone, Copy, Debug)]
pub struct WorkerState<'a> {
    /// What it said when it joined.
    pub info: &'a WorkerInfo,
    pub(super) queue: &'a Queue,
    pub(super) hot: &'a Hot,
    pub(super) cold: &'a Cold,
    pub(super) kinds: &'a Kinds,
}

/// When a worker is free, and how many requests it has: half a cache line.
#[derive(Clone, Copy, Default, Debug)]
#[repr(align(32))]
pub(super) struct Queue {
    /// When all of its prompts are computed, if the first one takes as long as predicted.
    free_at: Instant,
    /// The predicted work of all prompts but the first one.
    behind_first: Duration,
    /// When what siblings have queued there is computed.
    others_until: Instant,
    /// With those of siblings that do not tell, as of the last input.
    active: u32,
    /// Workers of one kind said the same of themselves, apart from their numbers and epochs.
    pub kind: u32,
}

/// What else rules read of every worker: half a cache line.
#[derive(Clone, Copy, Default, Debug)]
#[repr(align(32))]
pub(super) struct Hot {
    /// With those of siblings that do not tell, as of the last input.
    queued_tokens: u64,
    booked_tokens: u64,
    /// With those of siblings that do not tell, as of the last input.
    queued_requests: u32,
    pub role: Role,
    /// Whether it may be sent new requests.
    pub takes: bool,
}

/// The rest of what is known of a worker.
#[derive(Debug)]
pub(super) struct Cold {
    pub info: WorkerInfo,
    /// It said itself that it takes no new requests.
    draining: bool,
    /// The operator said that it takes no new requests.
    drained: bool,
    pub load: Polled,
    /// Prompts booked and not yet computed, in the order of dispatch.
    prefills: VecDeque<Prefill>,
    prefill_total: Duration,
    /// When the first of `prefills` became the first.
    first_since: Instant,
    pub answering: Answering,
    /// What siblings have queued there that do not tell.
    unbooked: Unbooked,
    /// The same as of the last input; it is a part of the sums in [`Queue`] and [`Hot`].
    others: Waiting,
}

/// A worker that is about to change.
#[derive(Debug)]
pub(super) struct WorkerMut<'a> {
    pub queue: &'a mut Queue,
    pub hot: &'a mut Hot,
    pub cold: &'a mut Cold,
    pub kinds: &'a mut Kinds,
}

/// A prompt that is booked and not yet computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefill {
    pub ordinal: u64,
    pub request: RequestId,
    /// The predicted time to compute it.
    pub work: Duration,
    /// Its tokens that are not cached, as the decision believed.
    pub tokens: u32,
    /// When its first token is overdue. None: that is not judged.
    pub due: Option<Instant>,
    /// Whether this router sent it, and not a sibling.
    pub own: bool,
}

/// What a worker decodes, or will, of prompts that other workers compute.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Answering {
    /// Number of requests.
    pub requests: u32,
    /// Tokens of their prompts.
    pub tokens: u64,
}

impl Hot {
    /// With nothing booked.
    pub fn new(role: Role, takes: bool) -> Self {
        Self { role, takes, ..Self::default() }
    }

    pub const fn queued_requests(&self) -> u32 {
        self.queued_requests
    }
}

impl Queue {
    /// With nothing booked.
    pub fn new(kind: u32) -> Self {
        Self { kind, ..Self::default() }
    }

    pub const fn active(&self) -> u32 {
        self.active
    }

    /// See [`WorkerState::backlog`].
    #[inline]
    pub fn backlog(&self, now: Instant) -> Duration {
        let Self { free_at, behind_first, others_until, .. } = *self;
        free_at.since(now).max(behind_first) + others_until.since(now)
    }
}

impl Cold {
    pub fn new(info: WorkerInfo, drained: bool) -> Self {
        Self {
            info,
            draining: false,
            drained,
            load: Polled::default(),
            prefills: VecDeque::new(),
            prefill_total: Duration::ZERO,
            first_since: Instant::START,
            answering: Answering::default(),
            unbooked: Unbooked::default(),
            others: Waiting::default(),
        }
    }
}

impl<'a> WorkerState<'a> {
    /// The predicted work before a prompt that is sent now can begin. The first prompt of the queue is
    /// assumed to be under way since it became the first, at the speed that was predicted. If it is late,
    /// all the others are left.
    pub fn backlog(self, now: Instant) -> Duration {
        self.queue.backlog(now)
    }

    /// What all workers of its kind said of themselves: as `info`, but with the number and the epoch of one
    /// of them. A walk over the fleet finds it in the cache.
    pub fn alike(self) -> &'a WorkerInfo {
        self.kind().info
    }

    /// The part of a request that it does.
    pub const fn role(self) -> Role {
        self.hot.role
    }

    /// When it is free, and how many requests it has.
    pub(in crate::routing) const fn queue(self) -> &'a Queue {
        self.queue
    }

    /// Its kind, by which alike workers are known.
    pub fn kind(self) -> Kind<'a> {
        self.kinds.get(self.queue.kind)
    }

    /// Prompt tokens that a decision does not believe cached here.
    pub(super) fn new_tokens(self, request: &Request, decision: &Decision) -> u32 {
        let tokens = request.prompt.tokens();
        tokens - decision.covered().saturating_mul(self.info.block_size).min(tokens)
    }

    /// The time to compute them.
    pub(super) fn prefill(self, request: &Request, decision: &Decision) -> Duration {
        let new = self.new_tokens(request, decision);
        self.info.prefill.estimate(new, request.prompt.tokens() - new)
    }

    /// By how much the prompt under way is later than predicted.
    pub(super) fn late(self, now: Instant) -> Duration {
        let Cold { prefills, first_since, .. } = self.cold;
        let first = prefills.front();
        first.map_or(Duration::ZERO, |first| now.since(*first_since).saturating_sub(first.work))
    }

    /// What it last reported of its load, and when the report came.
    pub fn load(self) -> Option<(Instant, &'a LoadReport)> {
        self.cold.load.latest()
    }

    /// Prompt tokens of the requests booked and not yet computed, without those that the decisions
    /// believed cached.
    pub const fn queued_tokens(self) -> u64 {
        self.hot.queued_tokens
    }

    /// Requests booked whose prompts are not yet computed.
    pub const fn queued_requests(self) -> u32 {
        self.hot.queued_requests
    }

    /// Prompt tokens of the requests dispatched and not ended.
    pub const fn booked_tokens(self) -> u64 {
        self.hot.booked_tokens
    }

    /// Whether it said itself that it takes no new requests.
    pub const fn is_draining(self) -> bool {
        self.cold.draining
    }

    /// Whether the operator said that it takes no new requests.
    pub const fn is_drained(self) -> bool {
        self.cold.drained
    }

    /// Whether it may be sent new requests.
    pub const fn takes_requests(self) -> bool {
        self.hot.takes
    }

    /// Requests dispatched and not ended.
    pub const fn active(self) -> u32 {
        self.queue.active
    }

    /// What it decodes of prompts that other workers compute.
    pub const fn answering(self) -> Answering {
        self.cold.answering
    }

    /// Whether a request with a prompt of so many tokens surely gets a seat and room at once. Answers need
    /// room too, and the router does not know how much: half of the memory is left to them.
    pub(super) fn has_room_now(self, tokens: u32) -> bool {
        let tokens = 2 * (self.booked_tokens() + u64::from(tokens));
        let &WorkerInfo { max_num_seqs, total_blocks, block_size, .. } = self.info;
        let fits = |blocks: u64| tokens <= blocks.saturating_mul(u64::from(block_size));
        self.active() < max_num_seqs && total_blocks.is_none_or(fits)
    }

    /// Whether the `most` oldest requests that wait for their first token are overdue.
    pub(super) fn is_overdue(self, now: Instant, most: u32) -> bool {
        let own = self.cold.prefills.iter().filter(|prefill| prefill.own);
        let oldest = own.take(most as usize);
        let overdue = oldest.take_while(|prefill| prefill.due.is_some_and(|due| due <= now));
        overdue.count() == most as usize
    }

    /// This router's requests that wait for their first token, in the order of dispatch.
    pub(super) fn waiting(self) -> impl Iterator<Item = RequestId> + 'a {
        self.cold.prefills.iter().filter(|prefill| prefill.own).map(|prefill| prefill.request)
    }

    /// Whether this request waits for its first token, and is overdue.
    pub(super) fn is_request_overdue(self, now: Instant, id: RequestId) -> bool {
        let mut waiting = self.cold.prefills.iter().filter(|prefill| prefill.request == id);
        waiting.any(|prefill| prefill.due.is_some_and(|due| due <= now))
    }

    /// At rest nothing is booked.
    pub(super) fn check_at_rest(self) {
        let (Self { cold, hot, .. }, id) = (self, self.info.worker);
        assert_eq!(self.active(), cold.others.requests, "{id} still counts active requests");
        assert_eq!(cold.answering, Answering::default(), "{id} still answers");
        assert_eq!(cold.prefill_total, Duration::ZERO, "{id} still has prefill booked");
        let tokens = (hot.queued_tokens - cold.others.tokens, hot.booked_tokens);
        assert_eq!(tokens, (0, 0), "{id} still has tokens booked");
    }
}

impl WorkerMut<'_> {
    /// It said that it takes no new requests.
    pub fn drain(&mut self) {
        self.cold.draining = true;
        self.hot.takes = false;
    }

    /// The operator said whether it takes new requests.
    pub fn set_drained(&mut self, drained: bool) {
        self.cold.drained = drained;
        self.hot.takes = !drained && !self.cold.draining;
    }

    /// A request with a prompt of so many tokens is booked.
    pub fn begin(&mut self, tokens: u32) {
        self.set_active(self.queue.active + 1);
        self.hot.booked_tokens += u64::from(tokens);
    }

    /// It is booked no more.
    pub fn end(&mut self, tokens: u32) {
        self.set_active(self.queue.active - 1);
        self.hot.booked_tokens -= u64::from(tokens);
    }

    fn set_active(&mut self, active: u32) {
        self.kinds.change_idle(self.queue.kind, self.queue.active == 0, active == 0);
        self.queue.active = active;
    }

    fn set_queued(&mut self, requests: u32) {
        self.kinds.change_queued(self.hot.queued_requests, requests);
        self.hot.queued_requests = requests;
    }

    /// A prompt is to be computed.
    pub fn queue(&mut self, now: Instant, prefill: Prefill) {
        if self.cold.prefills.is_empty() {
            self.cold.first_since = now;
        }
        self.cold.prefill_total += prefill.work;
        self.hot.queued_tokens += u64::from(prefill.tokens);
        self.set_queued(self.hot.queued_requests + 1);
        self.cold.prefills.push_back(prefill);
        self.foresee();
    }

    /// A prompt that was booked under this number is computed, or will not be. It may be over already.
    pub fn queues_no_more(&mut self, now: Instant, ordinal: u64) {
        let Cold { prefills, prefill_total, first_since, .. } = &mut *self.cold;
        let place = prefills.binary_search_by_key(&ordinal, |known| known.ordinal);
        if let Some(done) = place.ok().and_then(|at| prefills.remove(at)) {
            *prefill_total = prefill_total.saturating_sub(done.work);
            self.hot.queued_tokens -= u64::from(done.tokens);
            if place == Ok(0) {
                *first_since = now;
            }
            self.set_queued(self.hot.queued_requests - 1);
        }
        self.foresee();
    }

    /// When the queue is computed, as far as it can be told.
    fn foresee(&mut self) {
        let Cold { prefills, prefill_total, first_since, .. } = &*self.cold;
        (self.queue.free_at, self.queue.behind_first) = match prefills.front() {
            Some(first) => {
                (*first_since + *prefill_total, prefill_total.saturating_sub(first.work))
            }
            None => (Instant::START, Duration::ZERO),
        };
    }

    /// Takes a report for what siblings have there, beyond what is booked. `each`: the tokens that a request
    /// usually has to compute.
    pub fn compare(&mut self, now: Instant, report: &LoadReport, each: f64) {
        let Cold { info, prefills, others, .. } = &*self.cold;
        let tokens = self.hot.queued_tokens - others.tokens;
        let booked = Waiting { requests: prefills.len() as u32, tokens };
        let work = |tokens| info.prefill.estimate(tokens, 0);
        self.cold.unbooked = Unbooked::new(now, report, booked, each, work);
        self.queue.others_until = self.cold.unbooked.until();
    }

    /// Counts what is left of what siblings have queued there. False: nothing.
    pub fn settle(&mut self, now: Instant) -> bool {
        let left = self.cold.unbooked.queue(now);
        let Waiting { requests, tokens } = core::mem::replace(&mut self.cold.others, left);
        self.hot.queued_tokens = self.hot.queued_tokens - tokens + left.tokens;
        self.set_queued(self.hot.queued_requests - requests + left.requests);
        self.set_active(self.queue.active - requests + left.requests);
        self.cold.unbooked.work(now) > Duration::ZERO
    }
}
