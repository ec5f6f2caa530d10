//! Admission: what a router takes on while its fleet has more to do than it can.
//!
//! A worker is open while its predicted prefill work is short and it has a seat. A request goes to an
//! open worker; while there is none, it waits in the router's queue, where tenants have fair shares. A
//! request whose first token or whole answer is predicted to come too late is refused when it arrives.
//! So the queue is never longer than what can be served in time, whatever the load.
//!
//! - `limits`: what it is told.
//! - `fair`: whose turn is next.
//! - `pace`: how fast the queue moves.
//! - `learned`: how much slower than predicted workers are, by their load.
//!
//! Nothing here remembers that there was too much load: what is learned is forgotten within seconds, and
//! an idle worker is always open.

mod fair;
mod learned;
mod limits;
mod pace;

use super::decision::{Decision, RejectReason};
use super::fleet::Fleet;
use super::input::Input;
use super::per_worker::PerWorker;
use super::worker_state::WorkerState;
use crate::event::Role;
use crate::hash::Map;
use crate::id::{RequestId, SourceId, TenantId, WorkerId};
use crate::request::Request;
use crate::time::{Duration, Instant};
use fair::Fair;
use learned::Speed;
pub use limits::{AdmissionLimits, Class, Share};
use pace::Pace;

/// How many requests that wait are looked at after each input, from the first on.
pub(super) const LOOK: u32 = 32;
/// A request that waits is looked at again after this time, even if nothing happened.
pub(super) const RECHECK: Duration = Duration::from_millis(100);
/// A worker with nothing to do opens again at once; one that is late is looked at after this time.
pub(super) const SOON: Duration = Duration::from_millis(5);

/// The least share of its time that a worker computes prompts in, so that it is never closed for good.
const LEAST_SHARE: f64 = 0.05;
/// The mean that is aimed at, as a part of a limit: answers differ, and nearly all are to keep to it.
const AIM: f64 = 0.8;
/// Longer than any request waits.
const LONG: Duration = Duration::from_millis(600_000);

/// Whether a worker gets a further request now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    Open,
    /// At this instant it may be open, if nothing happens before.
    Closed(Instant),
}

/// A request that is asked about.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub now: Instant,
    pub waited: Duration,
    pub request: &'a Request,
    /// Whether the queue has room for it.
    pub may_wait: bool,
}

/// What becomes of a request that is not refused.
#[derive(PartialEq, Eq)]
pub(super) enum Admitted {
    /// It is sent. These workers were left out because they have enough to do.
    Send(Vec<WorkerId>),
    /// It waits, until then at the latest.
    Wait(Instant),
}

/// A request that was sent and has not ended.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    tenant: TenantId,
    most: Option<u32>,
    /// The worker that computes the prompt, and the one that answers.
    computes: WorkerId,
    answers: WorkerId,
    sent: Instant,
    expected: Duration,
    /// Since its first token came.
    first: Option<Answering>,
}

/// The state of the worker when an answer began.
#[derive(Clone, Copy, Debug)]
struct Answering {
    since: Instant,
    /// Requests on it.
    beside: u32,
    /// See [`Known::sent_s`].
    sent_s: f64,
}

/// What is known of a worker.
#[derive(Clone, Default, Debug)]
struct Known {
    speed: Speed,
    /// Prefill work that it was ever sent, in seconds.
    sent_s: f64,
    /// Prefill work that it was sent, less what it may have done meanwhile: see
    /// [`Admission::spare_share`].
    owed: Duration,
    /// As of then.
    at: Instant,
}

/// What a router takes on.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    fair: Fair,
    pace: Pace,
    of: PerWorker<Known>,
    under_way: Map<RequestId, UnderWay>,
}

impl Admission {
    /// Within these limits, with nothing learned.
    pub fn new(limits: AdmissionLimits) -> Self {
        Self {
            limits,
            fair: Fair::default(),
            pace: Pace::default(),
            of: PerWorker::default(),
            under_way: Map::default(),
        }
    }

    /// The limits.
    pub const fn limits(&self) -> &AdmissionLimits {
        &self.limits
    }

    /// Whether a worker gets a further request.
    pub(super) fn gate(&self, now: Instant, id: WorkerId, worker: WorkerState<'_>) -> Gate {
        if worker.active() == 0 {
            return Gate::Open;
        }
        if worker.info.role != Role::Prefill && !self.may_answer(now, id, worker) {
            return Gate::Closed(now + RECHECK);
        }
        let most = Duration::from_secs_f64(self.limits.backlog_s);
        let late = worker.late(now);
        let over = (worker.backlog(now) + late).saturating_sub(most);
        let owed = self.owed(now, id, worker.active()).saturating_sub(most);
        match (over.max(owed), late) {
            (Duration::ZERO, _) => Gate::Open,
            (over, Duration::ZERO) => Gate::Closed(now + over),
            // Time makes it no better, only its next token does.
            (..) => Gate::Closed(now + RECHECK),
        }
    }

    /// Whether a worker has a seat for one more answer, and answers fast enough.
    fn may_answer(&self, now: Instant, id: WorkerId, worker: WorkerState<'_>) -> bool {
        worker.active() < worker.info.max_num_seqs
            && self.spare_share(now, id, worker.active() + 1) > 0.0
    }

    /// The share of its time that a worker may compute prompts in while its answers keep to the limit. A
    /// step that takes `s` alone takes `s / (1 - share)` on average where a share of the time goes to
    /// prompts.
    fn spare_share(&self, now: Instant, id: WorkerId, beside: u32) -> f64 {
        let Some(most) = self.limits.tpot_s else { return 1.0 };
        let alone = self.of.get(id).and_then(|known| known.speed.further(now, beside));
        alone.map_or(1.0, |alone| 1.0 - alone / (most * AIM))
    }

    /// Prefill work that a worker has been sent beyond its share.
    fn owed(&self, now: Instant, id: WorkerId, beside: u32) -> Duration {
        let Some(known) = self.of.get(id).filter(|known| known.owed > Duration::ZERO) else {
            return Duration::ZERO;
        };
        let share = self.spare_share(now, id, beside).max(LEAST_SHARE);
        let done = now.since(known.at).as_secs_f64() * share;
        known.owed.saturating_sub(Duration::from_secs_f64(done))
    }

    /// Whether any decode worker is open.
    pub(super) fn has_open_decoder(&self, now: Instant, fleet: &Fleet, all: &[WorkerId]) -> bool {
        let may = |&id: &WorkerId| fleet.worker(id).is_some_and(|w| self.may_answer(now, id, w));
        all.iter().any(may)
    }

    /// Whether any worker of the fleet is open.
    pub(super) fn any_open(&self, now: Instant, fleet: &Fleet) -> bool {
        let open = |(id, worker): (WorkerId, WorkerState<'_>)| {
            worker.takes_requests()
                && worker.info.role != Role::Decode
                && self.gate(now, id, worker) == Gate::Open
        };
        fleet.workers().any(open)
    }

    /// The time of a further token, at the load that there is.
    fn further(&self, now: Instant, id: WorkerId, beside: u32) -> Option<f64> {
        self.of.get(id)?.speed.loaded(now, beside)
    }

    /// The time to the first token of a request that is sent so now.
    pub(super) fn first_token(
        &self,
        now: Instant,
        fleet: &Fleet,
        request: &Request,
        decision: &Decision,
    ) -> Duration {
        let Some(worker) = fleet.worker(decision.worker) else { return Duration::ZERO };
        let raw = predicted(now, worker, request, decision);
        let known = self.of.get(decision.worker);
        let late = known.map_or(1.0, |known| known.speed.lateness(now, worker.active()));
        Duration::from_secs_f64(raw.as_secs_f64() * late)
    }

    /// Judges a request that has `waited` and has to wait on, perhaps for `wait`, and whose first token is
    /// expected after `first` then, on the worker that would answer. Ok: it is in time if it is sent as late as then.
    pub(super) fn judge(
        &self,
        now: Instant,
        (waited, first, wait): (Duration, Duration, Duration),
        request: &Request,
        answers: (WorkerId, WorkerState<'_>),
    ) -> Result<Instant, RejectReason> {
        let latest = self.in_time(now, first + wait, request, answers)?;
        let Some(slo) = self.limits.ttft(request) else { return Ok(latest) };
        let predicted = waited + first + wait;
        // Those that begin to wait are to be in time even if the queue moves more slowly than it did.
        let room = if waited == Duration::ZERO { AIM } else { 1.0 };
        if predicted > Duration::from_secs_f64(slo.as_secs_f64() * room) {
            return Err(RejectReason::OverSlo { predicted, slo });
        }
        Ok(latest.min(now + slo.saturating_sub(predicted)))
    }

    /// Whether the whole answer comes before the client's deadline. Ok: also if it is sent as late as
    /// then.
    pub(super) fn in_time(
        &self,
        now: Instant,
        first: Duration,
        request: &Request,
        (id, worker): (WorkerId, WorkerState<'_>),
    ) -> Result<Instant, RejectReason> {
        let Some(deadline) = request.deadline else { return Ok(now + LONG) };
        let left = deadline.since(now);
        if left == Duration::ZERO {
            return Err(RejectReason::DeadlinePassed { waited: Duration::ZERO });
        }
        let further = self.further(now, id, worker.active() + 1).unwrap_or_default();
        let tokens = self.fair.answer_tokens(request).unwrap_or_default();
        let predicted = first + Duration::from_secs_f64(further * tokens);
        if predicted > left {
            return Err(RejectReason::LateForDeadline { predicted, left });
        }
        Ok(now + left.saturating_sub(predicted))
    }

    /// How long a request waits behind `ahead` others. `work`: the time to compute its prompt, for where
    /// nothing is known of the queue; `workers`: of the fleet.
    pub(super) fn wait(
        &self,
        now: Instant,
        ahead: usize,
        work: Duration,
        workers: usize,
    ) -> Duration {
        let guess = Duration::from_secs_f64(work.as_secs_f64() / workers.max(1) as f64);
        let gap = self.pace.gap(now, guess).as_secs_f64();
        Duration::from_secs_f64(gap * (ahead + 1) as f64)
    }

    /// The place of a request among those of its priority.
    pub(super) fn place(&self, request: &Request) -> i64 {
        self.fair.place(request.tenant)
    }

    /// What a request costs its tenant. Without a decision all of the prompt counts as work.
    pub(super) fn cost(&self, request: &Request, decision: Option<(&Decision, &Fleet)>) -> i64 {
        let known = decision.and_then(|(decision, fleet)| {
            Some(fleet.worker(decision.worker)?.new_tokens(request, decision))
        });
        let new_tokens = known.unwrap_or_else(|| request.prompt.tokens());
        self.fair.cost(request, new_tokens, self.limits.weight(request.tenant))
    }

    /// A request of this cost waits in this place.
    pub(super) fn hold(&mut self, now: Instant, tenant: TenantId, place: i64, cost: i64) {
        self.fair.charge(tenant, place, cost);
        self.pace.begin(now);
    }

    /// A request is sent. `held`: its place in the queue, if it waited there.
    pub(super) fn sent(
        &mut self,
        (now, held): (Instant, Option<i64>),
        request: &Request,
        decision: &Decision,
        fleet: &Fleet,
    ) {
        let place = held.unwrap_or_else(|| {
            let place = self.place(request);
            let cost = self.cost(request, Some((decision, fleet)));
            self.fair.charge(request.tenant, place, cost);
            place
        });
        self.fair.sent(place);
        let worker = fleet.worker(decision.worker);
        let expected = worker.map_or(Duration::ZERO, |w| predicted(now, w, request, decision));
        if let Some(worker) = worker {
            let work = worker.prefill(request, decision);
            let owed = self.owed(now, decision.worker, worker.active());
            let known = self.of.of_mut(decision.worker);
            known.sent_s += work.as_secs_f64();
            (known.owed, known.at) = (owed + work, now);
        }
        let (tenant, most) = (request.tenant, request.max_new_tokens);
        let (computes, answers) = (decision.worker, decision.decode.unwrap_or(decision.worker));
        let sent = now;
        let under_way = UnderWay { tenant, most, computes, answers, sent, expected, first: None };
        self.under_way.insert(request.id, under_way);
    }

    /// So many requests left the queue for workers. `empty`: none waits any more.
    pub(super) fn queue_moved(&mut self, now: Instant, requests: u32, empty: bool) {
        self.pace.left(now, requests, empty);
    }

    /// Learns from what happened, before the fleet takes it in.
    pub(super) fn learn(&mut self, now: Instant, input: &Input, fleet: &Fleet) {
        let active = |id| fleet.worker(id).map_or(0, WorkerState::active);
        match input {
            Input::FirstToken(id) => {
                let Some(request) = self.under_way.get_mut(id) else { return };
                let sent_s = self.of.get(request.answers).map_or(0.0, |known| known.sent_s);
                let beside = active(request.answers);
                request.first = Some(Answering { since: now, beside, sent_s });
                let (took, expected) = (now.since(request.sent), request.expected);
                let beside = active(request.computes);
                let known = self.of.of_mut(request.computes);
                known.speed.first_token(now, beside, took, expected);
            }
            Input::Finished { id, output_tokens, .. } => {
                let Some(request) = self.under_way.remove(id) else { return };
                let Some(tokens) = *output_tokens else { return };
                self.fair.answered(request.tenant, tokens, request.most);
                if let Some(first) = request.first.filter(|_| tokens > 1) {
                    let took = now.since(first.since).as_secs_f64();
                    let beside = first.beside.midpoint(active(request.answers));
                    let known = self.of.of_mut(request.answers);
                    let share = (known.sent_s - first.sent_s) / took.max(1e-6);
                    let each = took / f64::from(tokens - 1);
                    known.speed.further_token(now, beside, each, share);
                }
            }
            Input::Failed { id, .. } | Input::Cancelled(id) => {
                self.under_way.remove(id);
            }
            Input::Joined(info) => self.forget(info.worker),
            Input::Lost(SourceId::Worker(id)) => self.forget(*id),
            _ => {}
        }
    }

    /// A worker is gone, or begins anew.
    fn forget(&mut self, id: WorkerId) {
        *self.of.of_mut(id) = Known::default();
        self.under_way.retain(|_, request| request.answers != id);
    }

    /// At rest no request is under way.
    pub fn check_at_rest(&self) {
        assert!(self.under_way.is_empty(), "{} requests never ended", self.under_way.len());
    }
}

/// The time to the first token by what is booked on a worker.
fn predicted(
    now: Instant,
    worker: WorkerState<'_>,
    request: &Request,
    decision: &Decision,
) -> Duration {
    worker.backlog(now) + worker.late(now) + worker.prefill(request, decision)
}
