//! A worker, as the router knows it: what it said, and what is booked on it.

use super::decision::Decision;
use super::polled::Polled;
use super::siblings::{Unbooked, Waiting};
use crate::event::{LoadReport, WorkerInfo};
use crate::id::RequestId;
use crate::request::Request;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// A worker, as the router knows it.
#[derive(Debug)]
pub struct WorkerState {
    /// What it said when it joined.
    pub info: WorkerInfo,
    /// It said itself that it takes no new requests.
    pub draining: bool,
    /// The operator said that it takes no new requests.
    pub drained: bool,
    pub(super) load: Polled,
    /// Prompts booked and not yet computed, in the order of dispatch.
    pub(super) prefills: VecDeque<Prefill>,
    pub(super) prefill_total: Duration,
    pub(super) queued_tokens: u64,
    /// When the first of `prefills` became the first.
    pub(super) head_since: Instant,
    pub(super) active: u32,
    pub(super) booked_tokens: u64,
    pub(super) answering: Answering,
    /// What siblings have queued there that do not tell.
    pub(super) unbooked: Unbooked,
    /// The same as of the last input.
    pub(super) others: Waiting,
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

impl WorkerState {
    pub(super) fn new(info: WorkerInfo, drained: bool) -> Self {
        Self {
            info,
            draining: false,
            drained,
            load: Polled::default(),
            prefills: VecDeque::new(),
            prefill_total: Duration::ZERO,
            queued_tokens: 0,
            head_since: Instant::START,
            active: 0,
            booked_tokens: 0,
            answering: Answering::default(),
            unbooked: Unbooked::default(),
            others: Waiting::default(),
        }
    }

    /// The predicted work before a prompt that is sent now can begin. The first prompt of the queue is
    /// assumed to be under way since it became the first, at the speed that was predicted.
    pub fn backlog(&self, now: Instant) -> Duration {
        let booked = match self.prefills.front() {
            Some(head) => {
                self.prefill_total.saturating_sub(now.since(self.head_since).min(head.work))
            }
            None => Duration::ZERO,
        };
        booked + self.unbooked.work(now)
    }

    /// Prompt tokens that a decision does not believe cached here.
    pub(super) fn new_tokens(&self, request: &Request, decision: &Decision) -> u32 {
        let tokens = request.prompt.tokens();
        tokens - decision.covered().saturating_mul(self.info.block_size).min(tokens)
    }

    /// The time to compute them.
    pub(super) fn prefill(&self, request: &Request, decision: &Decision) -> Duration {
        let new = self.new_tokens(request, decision);
        self.info.prefill.estimate(new, request.prompt.tokens() - new)
    }

    /// By how much the prompt under way is later than predicted.
    pub(super) fn late(&self, now: Instant) -> Duration {
        let head = self.prefills.front();
        head.map_or(Duration::ZERO, |head| now.since(self.head_since).saturating_sub(head.work))
    }

    /// What it last reported of its load, and when the report came.
    pub fn load(&self) -> Option<(Instant, &LoadReport)> {
        self.load.latest()
    }

    /// Prompt tokens of the requests booked and not yet computed, without those that the decisions
    /// believed cached.
    pub const fn queued_tokens(&self) -> u64 {
        self.queued_tokens + self.others.tokens
    }

    /// Requests booked whose prompts are not yet computed.
    pub fn queued_requests(&self) -> u32 {
        self.prefills.len() as u32 + self.others.requests
    }

    /// Prompt tokens of the requests dispatched and not ended.
    pub const fn booked_tokens(&self) -> u64 {
        self.booked_tokens
    }

    /// Whether it may be sent new requests.
    pub const fn takes_requests(&self) -> bool {
        !self.draining && !self.drained
    }

    /// Requests dispatched and not ended.
    pub const fn active(&self) -> u32 {
        self.active + self.others.requests
    }

    /// What it decodes of prompts that other workers compute.
    pub const fn answering(&self) -> Answering {
        self.answering
    }

    /// Whether a request with a prompt of so many tokens surely gets a seat and room at once. Answers need
    /// room too, and the router does not know how much: half of the memory is left to them.
    pub(super) fn has_room_now(&self, tokens: u32) -> bool {
        let tokens = 2 * (self.booked_tokens + u64::from(tokens));
        let WorkerInfo { max_num_seqs, total_blocks, block_size, .. } = self.info;
        let fits = |blocks: u64| tokens <= blocks.saturating_mul(u64::from(block_size));
        self.active() < max_num_seqs && total_blocks.is_none_or(fits)
    }

    /// Whether the `most` oldest requests that wait for their first token are overdue.
    pub(super) fn is_overdue(&self, now: Instant, most: u32) -> bool {
        let own = self.prefills.iter().filter(|prefill| prefill.own);
        let oldest = own.take(most as usize);
        let overdue = oldest.take_while(|prefill| prefill.due.is_some_and(|due| due <= now));
        overdue.count() == most as usize
    }

    /// This router's requests that wait for their first token, in the order of dispatch.
    pub(super) fn waiting(&self) -> impl Iterator<Item = RequestId> {
        self.prefills.iter().filter(|prefill| prefill.own).map(|prefill| prefill.request)
    }

    /// Whether this request waits for its first token, and is overdue.
    pub(super) fn is_request_overdue(&self, now: Instant, id: RequestId) -> bool {
        let mut waiting = self.prefills.iter().filter(|prefill| prefill.request == id);
        waiting.any(|prefill| prefill.due.is_some_and(|due| due <= now))
    }

    /// Takes a report for what siblings have there, beyond what is booked. `each`: the tokens that a request
    /// usually has to compute.
    pub(super) fn compare(&mut self, now: Instant, report: &LoadReport, each: f64) {
        let (requests, tokens) = (self.prefills.len() as u32, self.queued_tokens);
        let booked = Waiting { requests, tokens };
        let work = |tokens| self.info.prefill.estimate(tokens, 0);
        self.unbooked = Unbooked::new(now, report, booked, each, work);
    }

    /// Counts what is left of what siblings have queued there.
    pub(super) fn settle(&mut self, now: Instant) {
        self.others = self.unbooked.queue(now);
    }

    pub(super) fn prefills_no_more(&mut self, now: Instant, ordinal: u64) {
        let place = self.prefills.binary_search_by_key(&ordinal, |known| known.ordinal);
        if let Some(done) = place.ok().and_then(|at| self.prefills.remove(at)) {
            self.prefill_total = self.prefill_total.saturating_sub(done.work);
            self.queued_tokens -= u64::from(done.tokens);
        }
        if place == Ok(0) {
            self.head_since = now;
        }
    }
}
