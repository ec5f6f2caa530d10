//! All of the router's memory: who there is, what was booked on whom, what they reported.
//!
//! A booking begins with a dispatch. Until the first token it counts as queued prefill work, until
//! the end as an active request. The prompt's blocks are pending on the worker until the events
//! that announce them should have arrived.

use crate::event::{LoadReport, WorkerInfo};
use crate::hash::Map;
use crate::id::{RequestId, WorkerId};
use crate::request::Request;
use crate::routing::input::Decision;
use crate::routing::pending::PendingIndex;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long a prompt stays pending after its first token: events travel beside the tokens, and
/// one that is late for longer than this costs at most a wrong guess.
const EVENT_LINGER: Duration = Duration::from_millis(1_000);
/// How long a prompt may stay pending without a first token.
const PENDING_LIMIT: Duration = Duration::from_millis(600_000);

#[derive(Debug)]
pub struct WorkerState {
    pub info: WorkerInfo,
    /// By its own word.
    pub draining: bool,
    /// By the operator's.
    pub drained: bool,
    pub load: Option<LoadReport>,
    /// Prompts booked and not yet computed, in the order of dispatch: their predicted work.
    prefills: VecDeque<(u64, Duration)>,
    prefill_total: Duration,
    /// When the first of `prefills` came to be first.
    head_since: Instant,
    active: u32,
}

impl WorkerState {
    fn new(info: WorkerInfo, drained: bool) -> Self {
        Self {
            info,
            draining: false,
            drained,
            load: None,
            prefills: VecDeque::new(),
            prefill_total: Duration::ZERO,
            head_since: Instant::START,
            active: 0,
        }
    }

    /// The predicted work before a prompt that is sent now can begin. The first in the queue is
    /// taken to be under way since it came to be first, at the speed that was predicted.
    pub fn backlog(&self, now: Instant) -> Duration {
        match self.prefills.front() {
            Some(&(_, head)) => {
                self.prefill_total.saturating_sub(now.since(self.head_since).min(head))
            }
            None => Duration::ZERO,
        }
    }

    pub const fn takes_requests(&self) -> bool {
        !self.draining && !self.drained
    }

    /// Requests dispatched and not ended.
    pub const fn active(&self) -> u32 {
        self.active
    }
}

#[derive(Debug)]
struct Booking {
    worker: WorkerId,
    ordinal: u64,
    prefilling: bool,
}

#[derive(Debug)]
struct Pending {
    worker: WorkerId,
    prompt: crate::block::TokenBlocks,
    until: Instant,
}

#[derive(Debug, Default)]
pub struct Fleet {
    workers: BTreeMap<WorkerId, WorkerState>,
    /// By the operator; a worker that is away comes back drained.
    drained: BTreeSet<WorkerId>,
    bookings: Map<RequestId, Booking>,
    pending: PendingIndex,
    pending_of: Map<RequestId, Pending>,
    /// When which prompt is pending no longer, the first first. Room is used again, which a tree's
    /// would not be; the few in the way of one that comes or goes are moved.
    expiries: VecDeque<(Instant, RequestId)>,
    booked: u64,
}

impl Fleet {
    pub fn workers(&self) -> impl Iterator<Item = (WorkerId, &WorkerState)> {
        self.workers.iter().map(|(&id, state)| (id, state))
    }

    pub fn worker(&self, id: WorkerId) -> Option<&WorkerState> {
        self.workers.get(&id)
    }

    pub fn pending(&self) -> &PendingIndex {
        &self.pending
    }

    pub fn has_booking(&self, id: RequestId) -> bool {
        self.bookings.contains_key(&id)
    }

    /// Requests dispatched and not ended, over the whole fleet.
    pub fn in_flight(&self) -> usize {
        self.bookings.len()
    }

    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiries.front().map(|&(at, _)| at)
    }

    /// A worker that joins again (a restart) begins anew.
    pub(super) fn join(&mut self, info: WorkerInfo) {
        self.lose(info.worker);
        let drained = self.drained.contains(&info.worker);
        self.workers.insert(info.worker, WorkerState::new(info, drained));
    }

    pub(super) fn drain(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.draining = true;
        }
    }

    pub(super) fn set_drained(&mut self, id: WorkerId, drained: bool) {
        match drained {
            true => self.drained.insert(id),
            false => self.drained.remove(&id),
        };
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.drained = drained;
        }
    }

    pub fn is_drained(&self, id: WorkerId) -> bool {
        self.drained.contains(&id)
    }

    pub(super) fn lose(&mut self, id: WorkerId) {
        self.workers.remove(&id);
        // Sorted, since a hash map is never walked in its own order.
        let on_it = |who: WorkerId| who == id;
        let mut gone: Vec<RequestId> =
            self.pending_of.iter().filter(|(_, p)| on_it(p.worker)).map(|(&r, _)| r).collect();
        gone.sort_unstable();
        for request in gone {
            self.forget_pending(request);
        }
        self.bookings.retain(|_, booking| booking.worker != id);
    }

    pub(super) fn report(&mut self, report: LoadReport) {
        if let Some(worker) = self.workers.get_mut(&report.worker) {
            worker.load = Some(report);
        }
    }

    pub(super) fn book(&mut self, now: Instant, request: &Request, decision: &Decision) {
        // An id may come again while the blocks of the request that had it are still pending.
        self.forget_pending(request.id);
        self.booked += 1;
        let ordinal = self.booked;
        let worker = self.workers.get_mut(&decision.worker).expect("a decision names a worker");
        let tokens = request.prompt.tokens();
        let cached = decision.covered().saturating_mul(worker.info.block_size).min(tokens);
        let work = worker.info.prefill.estimate(tokens - cached, cached);
        if worker.prefills.is_empty() {
            worker.head_since = now;
        }
        worker.prefills.push_back((ordinal, work));
        worker.prefill_total += work;
        worker.active += 1;
        let booking = Booking { worker: decision.worker, ordinal, prefilling: true };
        self.bookings.insert(request.id, booking);
        self.pending.add(decision.worker, &request.prompt);
        let until = now + PENDING_LIMIT;
        let prompt = request.prompt.clone();
        self.pending_of.insert(request.id, Pending { worker: decision.worker, prompt, until });
        self.set_expiry(until, request.id);
    }

    pub(super) fn prefill_done(&mut self, now: Instant, id: RequestId) {
        let Some(booking) = self.bookings.get_mut(&id) else { return };
        if !core::mem::take(&mut booking.prefilling) {
            return;
        }
        if let Some(worker) = self.workers.get_mut(&booking.worker) {
            let place = worker.prefills.binary_search_by_key(&booking.ordinal, |&(o, _)| o);
            if let Some((_, work)) = place.ok().and_then(|at| worker.prefills.remove(at)) {
                worker.prefill_total = worker.prefill_total.saturating_sub(work);
            }
            if place == Ok(0) {
                worker.head_since = now;
            }
        }
        if let Some(pending) = self.pending_of.get_mut(&id) {
            let before = core::mem::replace(&mut pending.until, now + EVENT_LINGER);
            self.drop_expiry(before, id);
            self.set_expiry(now + EVENT_LINGER, id);
        }
    }

    /// `answered`: the prompt was computed, so its blocks are announced or about to be.
    pub(super) fn end(&mut self, now: Instant, id: RequestId, answered: bool) {
        self.prefill_done(now, id);
        if let Some(booking) = self.bookings.remove(&id)
            && let Some(worker) = self.workers.get_mut(&booking.worker)
        {
            worker.active -= 1;
        }
        if !answered {
            self.forget_pending(id);
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.expiries.front() {
            if at > now {
                break;
            }
            self.forget_pending(id);
        }
    }

    fn forget_pending(&mut self, id: RequestId) {
        if let Some(pending) = self.pending_of.remove(&id) {
            self.drop_expiry(pending.until, id);
            self.pending.remove(pending.worker, &pending.prompt);
        }
    }

    fn set_expiry(&mut self, at: Instant, id: RequestId) {
        let place = self.expiries.partition_point(|&known| known < (at, id));
        self.expiries.insert(place, (at, id));
    }

    fn drop_expiry(&mut self, at: Instant, id: RequestId) {
        if let Ok(place) = self.expiries.binary_search(&(at, id)) {
            self.expiries.remove(place);
        }
    }

    /// At rest nothing is booked and nothing is pending.
    pub fn check_at_rest(&self) {
        assert!(self.bookings.is_empty(), "{} bookings are left", self.bookings.len());
        assert!(self.pending.is_empty() && self.expiries.is_empty(), "pending blocks are left");
        for (id, worker) in &self.workers {
            assert_eq!(worker.active, 0, "{id} still counts active requests");
            assert_eq!(worker.prefill_total, Duration::ZERO, "{id} still has prefill booked");
        }
    }
}
