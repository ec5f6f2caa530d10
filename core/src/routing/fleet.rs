//! The router's memory of its workers: which there are, what is booked on them, what they reported.
//!
//! A booking begins with a dispatch. Until the first token it counts as queued prefill work, until
//! the end as an active request. The prompt's blocks are pending on the worker until the events
//! that announce them should have arrived.

use crate::event::{LoadReport, WorkerInfo};
use crate::hash::Map;
use crate::id::{RequestId, WorkerId};
use crate::request::Request;
use crate::routing::attempt::Failure;
use crate::routing::decision::Decision;
use crate::routing::pending::PendingIndex;
use crate::routing::pending_prompts::PendingPrompts;
use crate::routing::rotation::Rotation;
use crate::routing::table::Table;
use crate::routing::worker_state::Prefill;
pub use crate::routing::worker_state::{Answering, WorkerState};
use crate::time::{Duration, Instant};
use smallvec::SmallVec;
use std::collections::BTreeSet;

#[derive(Debug)]
struct Booking {
    /// The prefill worker, where it counts as active until its end or until the prompt is handed over.
    worker: Option<WorkerId>,
    ordinal: u64,
    prefilling: bool,
    /// The decode worker, where that is another.
    decode: Option<WorkerId>,
    tokens: u32,
    /// Whether this router sent it, and not a sibling.
    own: bool,
    sent: Instant,
    /// The time to the first token that was expected. None: it is not judged.
    expected: Option<Duration>,
}

/// What a worker is judged by. None: it is not.
#[derive(Default)]
struct Judged {
    expected: Option<Duration>,
    due: Option<Instant>,
}

/// All workers and what is booked on them.
#[derive(Debug, Default)]
pub struct Fleet {
    workers: Table,
    /// Workers that the operator drained. One that is away comes back drained.
    drained: BTreeSet<WorkerId>,
    bookings: Map<RequestId, Booking>,
    pending: PendingPrompts,
    booked: u64,
    /// How often the rule reads load reports; None: each as it comes.
    poll: Option<Duration>,
    rotation: Rotation,
    /// How many of `bookings` siblings made.
    of_siblings: usize,
    /// Whether reports are read for what siblings do.
    compares: bool,
    /// Workers where siblings have something queued, by what was reported.
    shared: BTreeSet<WorkerId>,
    /// How many tokens the last requests had to compute, in the mean.
    computes: f64,
}

impl Fleet {
    /// The workers, in ascending order.
    pub fn workers(&self) -> impl ExactSizeIterator<Item = (WorkerId, WorkerState<'_>)> {
        self.workers.iter()
    }

    pub(super) const fn table(&self) -> &Table {
        &self.workers
    }

    /// From now on load reports are read once in this time; None: each as it comes.
    pub(super) const fn set_poll(&mut self, poll: Option<Duration>) {
        self.poll = poll;
    }

    /// What a worker last reported of its load, as of the last poll, and when the report came.
    pub fn load(&self, now: Instant, id: WorkerId) -> Option<(Instant, &LoadReport)> {
        self.workers.get(id)?.cold.load.read(self.poll, now)
    }

    /// A worker, if it is in the fleet.
    pub fn worker(&self, id: WorkerId) -> Option<WorkerState<'_>> {
        self.workers.get(id)
    }

    /// Which workers are in rotation, and why others are not.
    pub const fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// From now on load reports are read for what siblings do, or not.
    pub(super) const fn compare_reports(&mut self, compares: bool) {
        self.compares = compares;
    }

    /// Counts what is left of what siblings have queued on the workers.
    pub(super) fn settle(&mut self, now: Instant) {
        let Self { shared, workers, .. } = self;
        shared.retain(|&id| workers.get_mut(id).is_some_and(|mut worker| worker.settle(now)));
    }

    pub(super) const fn rotation_mut(&mut self) -> &mut Rotation {
        &mut self.rotation
    }

    /// The blocks that workers are about to hold.
    pub fn pending(&self) -> &PendingIndex {
        self.pending.index()
    }

    /// Whether a request of this id was dispatched and has not ended.
    pub fn has_booking(&self, id: RequestId) -> bool {
        self.bookings.contains_key(&id)
    }

    /// The prompt tokens of a request that was dispatched and has not ended.
    pub(super) fn prompt_tokens(&self, id: RequestId) -> Option<u32> {
        self.bookings.get(&id).map(|booking| booking.tokens)
    }

    /// Requests of siblings that are booked here.
    pub const fn of_siblings(&self) -> usize {
        self.of_siblings
    }

    /// Requests dispatched and not ended, over the whole fleet. Held requests and those of siblings do
    /// not count.
    pub fn in_flight(&self) -> usize {
        self.bookings.len() - self.of_siblings
    }

    /// When the next prompt stops to be pending.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.pending.next_expiry()
    }

    /// A worker that joins again (a restart) begins anew.
    pub(super) fn join(&mut self, now: Instant, info: WorkerInfo) {
        self.lose(now, info.worker);
        let drained = self.drained.contains(&info.worker);
        self.rotation.join(now, info.worker, info.role);
        self.workers.insert(info, drained);
    }

    pub(super) fn drain(&mut self, id: WorkerId) {
        if let Some(mut worker) = self.workers.change(id) {
            worker.drain();
        }
    }

    pub(super) fn set_drained(&mut self, id: WorkerId, drained: bool) {
        match drained {
            true => self.drained.insert(id),
            false => self.drained.remove(&id),
        };
        if let Some(mut worker) = self.workers.change(id) {
            worker.set_drained(drained);
        }
    }

    /// Whether the operator drained this worker, which may be away.
    pub fn is_drained(&self, id: WorkerId) -> bool {
        self.drained.contains(&id)
    }

    pub(super) fn lose(&mut self, now: Instant, id: WorkerId) {
        self.workers.remove(id);
        self.rotation.lose(id);
        self.pending.lose(id);
        // Sorted, since a hash map is never walked in its own order.
        let booked = |b: &Booking| b.worker == Some(id) || b.decode == Some(id);
        let mut bookings: Vec<RequestId> =
            self.bookings.iter().filter(|(_, b)| booked(b)).map(|(&r, _)| r).collect();
        bookings.sort_unstable();
        for request in bookings {
            self.lose_booking(now, request, id);
        }
    }

    /// A request survives its prefill worker, since its decode worker can compute the prompt. Without its
    /// decode worker it is over.
    fn lose_booking(&mut self, now: Instant, request: RequestId, lost: WorkerId) {
        let Some(booking) = self.bookings.get_mut(&request) else { return };
        if booking.decode.is_some_and(|decode| decode != lost) {
            (booking.worker, booking.prefilling) = (None, false);
        } else {
            self.unbook(now, request);
        }
    }

    pub(super) fn report(&mut self, now: Instant, report: LoadReport) {
        if let Some(mut worker) = self.workers.get_mut(report.worker) {
            if self.compares {
                worker.compare(now, &report, self.computes);
                self.shared.insert(report.worker);
            }
            worker.cold.load.take(self.poll, now, report);
        }
    }

    /// The time to the first token of a request that is sent so now. What lies behind HBM counts as
    /// computed, since it is loaded only where that is faster. None: no worker's seat or room is free, so
    /// the wait for it can't be told.
    pub(super) fn expected(
        &self,
        now: Instant,
        request: &Request,
        decision: &Decision,
    ) -> Option<Duration> {
        let worker = self.workers.get(decision.worker)?;
        let tokens = request.prompt.tokens();
        let hbm = decision.overlap.map_or(0, |tiers| tiers[0]);
        let cached = hbm.saturating_mul(worker.info.block_size).min(tokens);
        let prefill = worker.info.prefill.estimate(tokens - cached, cached);
        worker.has_room_now(tokens).then(|| worker.backlog(now) + prefill)
    }

    /// Takes out workers whose oldest requests wait for far too long, and says which.
    pub(super) fn look_for_silence(&mut self, now: Instant) -> SmallVec<[WorkerId; 4]> {
        let mut gone = SmallVec::new();
        let Some(most) = self.rotation.look(now) else { return gone };
        for (id, worker) in self.workers.iter() {
            let probe = self.rotation.probe(id);
            let silent = match probe {
                Some(by) => worker.is_request_overdue(now, by),
                None => worker.is_overdue(now, most),
            };
            if silent && self.rotation.overdue(now, id) {
                gone.push(id);
            }
        }
        gone
    }

    /// An attempt failed. `counts`: its worker is to blame, as far as one can tell.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        (worker, id): (WorkerId, RequestId),
        how: Failure,
        counts: bool,
    ) {
        let on_it = |b: &Booking| b.worker == Some(worker) || b.decode == Some(worker);
        if self.bookings.get(&id).is_some_and(on_it) {
            self.rotation.failed(now, (worker, id), how, counts);
        }
        self.end(now, id, false);
    }

    /// Books a request that this router sends.
    pub(super) fn book(&mut self, now: Instant, request: &Request, decision: &Decision) {
        let judged = self.rotation.limits().is_some();
        let expected = judged.then(|| self.expected(now, request, decision)).flatten();
        let due = self.rotation.due(now, expected);
        for worker in [Some(decision.worker), decision.decode].into_iter().flatten() {
            self.rotation.sent(worker, request.id);
        }
        self.book_as(now, request, decision, Judged { expected, due }, true);
    }

    /// Books a request that a sibling sent. False: a worker of it is not in this router's fleet.
    pub(super) fn book_of_sibling(
        &mut self,
        now: Instant,
        request: &Request,
        decision: &Decision,
    ) -> bool {
        let here = |id: &WorkerId| self.workers.get(*id).is_some();
        let known = [Some(decision.worker), decision.decode].iter().flatten().all(here);
        if known {
            self.of_siblings += 1;
            self.book_as(now, request, decision, Judged::default(), false);
        }
        known
    }

    fn book_as(
        &mut self,
        now: Instant,
        request: &Request,
        decision: &Decision,
        Judged { expected, due }: Judged,
        own: bool,
    ) {
        // An id may come again while the blocks of the request that had it are still pending.
        self.pending.forget(request.id);
        self.booked += 1;
        let ordinal = self.booked;
        let mut worker = self.workers.get_mut(decision.worker).expect("a decision names a worker");
        let (tokens, info) = (request.prompt.tokens(), &worker.cold.info);
        let cached = decision.covered().saturating_mul(info.block_size).min(tokens);
        let work = info.prefill.estimate(tokens - cached, cached);
        let (request_id, queued) = (request.id, tokens - cached);
        // The first one counts whole.
        let weight = if self.booked == 1 { 1.0 } else { 1.0 / 32.0 };
        self.computes += (f64::from(queued) - self.computes) * weight;
        let prefill = Prefill { ordinal, request: request_id, work, tokens: queued, due, own };
        worker.queue(now, prefill);
        worker.begin(tokens);
        let (worker, decode) = (decision.worker, decision.decode);
        let (worker_of, prefilling, sent) = (Some(worker), true, now);
        let booking =
            Booking { worker: worker_of, ordinal, prefilling, decode, tokens, own, sent, expected };
        self.bookings.insert(request.id, booking);
        if let Some(decode) = decode {
            let mut answers = self.workers.get_mut(decode).expect("a decision names a worker");
            answers.begin(tokens);
            answers.cold.answering.requests += 1;
            answers.cold.answering.tokens += u64::from(tokens);
        }
        self.pending.add(now, request, worker, decode);
    }

    /// A first token came: its worker answers, and how fast.
    pub(super) fn first_token(&mut self, now: Instant, id: RequestId) {
        if self.rotation.limits().is_some()
            && let Some(booking) = self.bookings.get(&id).filter(|booking| booking.own)
        {
            let took = booking.expected.map(|expected| (now.since(booking.sent), expected));
            match (booking.worker, booking.decode) {
                (_, Some(decode)) => self.rotation.first_token(now, (decode, id), None),
                (Some(worker), None) => self.rotation.first_token(now, (worker, id), took),
                (None, None) => {}
            }
        }
        self.prefill_done(now, id);
    }

    fn prefill_done(&mut self, now: Instant, id: RequestId) {
        let Some(booking) = self.bookings.get_mut(&id) else { return };
        if !core::mem::take(&mut booking.prefilling) {
            return;
        }
        let ordinal = booking.ordinal;
        if let Some(mut worker) = booking.worker.and_then(|id| self.workers.get_mut(id)) {
            worker.queues_no_more(now, ordinal);
        }
        self.pending.computed(now, id);
    }

    /// The prompt is computed, and the request is booked on its decode worker only. The blocks stay
    /// pending on the prefill worker until the events about them have come.
    pub(super) fn kv_sent(&mut self, now: Instant, id: RequestId) {
        let Some(booking) = self.bookings.get_mut(&id).filter(|b| b.decode.is_some()) else {
            return;
        };
        let (ordinal, prefilling) = (booking.ordinal, booking.prefilling);
        let tokens = booking.tokens;
        let took = booking.expected.map(|expected| (now.since(booking.sent), expected));
        let own = booking.own;
        let from = booking.worker.take();
        if let Some(worker) = from.filter(|_| own) {
            self.rotation.first_token(now, (worker, id), took);
        }
        if let Some(mut worker) = from.and_then(|id| self.workers.get_mut(id)) {
            worker.end(tokens);
            if prefilling {
                worker.queues_no_more(now, ordinal);
            }
        }
    }

    /// `answered`: the prompt was computed, so its blocks are announced or about to be.
    pub(super) fn end(&mut self, now: Instant, id: RequestId, answered: bool) {
        if self.rotation.limits().is_some()
            && let Some(&Booking { worker, decode, own: true, .. }) = self.bookings.get(&id)
        {
            for worker in [worker, decode].into_iter().flatten() {
                match answered {
                    true => self.rotation.finished(now, worker, id),
                    false => self.rotation.withdrawn(now, worker, id),
                }
            }
        }
        self.prefill_done(now, id);
        self.unbook(now, id);
        if !answered {
            self.pending.forget(id);
        }
    }

    fn unbook(&mut self, now: Instant, id: RequestId) {
        let Some(booking) = self.bookings.remove(&id) else { return };
        self.of_siblings -= usize::from(!booking.own);
        if let Some(mut worker) = booking.worker.and_then(|id| self.workers.get_mut(id)) {
            worker.end(booking.tokens);
            if booking.prefilling {
                worker.queues_no_more(now, booking.ordinal);
            }
        }
        if let Some(mut worker) = booking.decode.and_then(|id| self.workers.get_mut(id)) {
            worker.end(booking.tokens);
            worker.cold.answering.requests -= 1;
            worker.cold.answering.tokens -= u64::from(booking.tokens);
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.pending.expire(now);
    }

    /// At rest nothing is booked and nothing is pending.
    pub fn check_at_rest(&self) {
        assert!(self.bookings.is_empty(), "{} bookings are left", self.bookings.len());
        assert!(self.pending.is_empty(), "pending blocks are left");
        self.workers().for_each(|(_, worker)| worker.check_at_rest());
    }
}
