//! The router itself: takes inputs, asks the rule, gives actions.
//!
//! - `admit`: whether a request is taken on, where there is admission.
//! - `again`: further attempts at requests whose attempts failed.
//! - `explain`: what it says of its decisions.
//! - `review`: asking again about requests that are held.
//! - `siblings`: what other routers before the same fleet do.

mod admit;
mod again;
mod explain;
mod review;
mod siblings;

use super::admission::{Admission, AdmissionLimits, Admitted, Asked};
use super::attempt::TimeLimits;
use super::decision::{Choice, Decision, RejectReason};
use super::decode::{self, Eligible};
use super::explain::{Kept, fill, left_out};
use super::fleet::{Fleet, WorkerState};
use super::index::Overlap;
use super::input::{Action, Input};
use super::observed::Observed;
use super::policy::hold::{Verdict, in_order};
use super::policy::shadow::{ShadowCounts, Shadows};
use super::policy::{PolicyConfig, RunningRule};
use super::queue::{Queue, QueueLimits};
use super::reliability::Reliability;
use super::retry::Retries;
use super::siblings::{News, SiblingRequests, Siblings};
use super::view::{FleetView, Lookup};
use crate::block::TokenBlocks;
use crate::id::{RequestId, SourceId};
use crate::request::Request;
use crate::time::{Duration, Instant};
use std::cell::{Cell, RefCell};

/// Decides where requests go, and holds them while its rule says so.
#[derive(Debug)]
pub struct Router {
    fleet: Fleet,
    queue: Queue,
    retries: Retries,
    time: Option<TimeLimits>,
    admission: Option<Box<Admission>>,
    policy: PolicyConfig,
    rule: RunningRule,
    shadows: RefCell<Shadows>,
    /// Whether decisions say who held how much.
    tells_holders: bool,
    seed: u64,
    /// Requests that were sent, by this router or by siblings that tell.
    decided: u64,
    siblings: Siblings,
    sibling_requests: SiblingRequests,
    /// What siblings are to be told.
    news: Vec<News>,
    /// Reused from one decision to the next, so that deciding allocates nothing.
    eligible: Eligible,
    scratch: RefCell<Overlap>,
    kept: Kept,
}

impl Router {
    /// Without workers, with an empty queue of the default limits.
    pub fn new(policy: PolicyConfig) -> Self {
        let mut fleet = Fleet::default();
        fleet.set_poll(policy.poll());
        Self {
            fleet,
            queue: Queue::default(),
            retries: Retries::default(),
            time: None,
            admission: None,
            policy,
            rule: RunningRule::new(policy),
            shadows: RefCell::default(),
            tells_holders: false,
            seed: 0,
            decided: 0,
            siblings: Siblings::NONE,
            sibling_requests: SiblingRequests::default(),
            news: Vec::new(),
            eligible: Eligible::default(),
            scratch: RefCell::default(),
            kept: Kept::default(),
        }
    }

    /// Sets the seed for rules that choose at random.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many requests the router holds at most, and for how long.
    #[must_use]
    pub fn with_queue_limits(mut self, limits: QueueLimits) -> Self {
        self.queue.set_limits(limits);
        self
    }

    /// What it does about failing workers; at first nothing.
    #[must_use]
    pub fn with_reliability(mut self, what: Reliability) -> Self {
        self.fleet.rotation_mut().set_limits(what.health);
        self.retries.set_limits(what.retry);
        self.time = what.time;
        self
    }

    /// What it takes on. None: everything that a worker has room for.
    #[must_use]
    pub fn with_admission(mut self, limits: Option<AdmissionLimits>) -> Self {
        self.admission = limits.map(Admission::new).map(Box::new);
        self
    }

    /// What it knows of other routers before its fleet; at first it believes that there are none.
    #[must_use]
    pub fn with_siblings(mut self, siblings: Siblings) -> Self {
        self.siblings = siblings;
        self.fleet.compare_reports(siblings.read_reports);
        self
    }

    /// Rules that are asked beside the one that decides; at first none. A record of such a router replays if decisions
    /// say who held how much too: then each request is looked up, whatever the rules look at.
    #[must_use]
    pub fn with_shadows(mut self, policies: &[PolicyConfig]) -> Self {
        self.shadows = Shadows::new(policies).into();
        self
    }

    /// From now on each decision says who held how much of its prompt.
    #[must_use]
    pub fn telling_holders(mut self) -> Self {
        self.tells_holders = true;
        self
    }

    /// What the rules beside the one that decides would have done.
    pub fn shadows(&self) -> Vec<(PolicyConfig, ShadowCounts)> {
        self.shadows.borrow().counts().collect()
    }

    /// The workers and what is booked on them.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The requests that are held.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// At rest nothing is booked, held or between two attempts.
    pub fn check_at_rest(&self) {
        self.fleet.check_at_rest();
        self.queue.check_at_rest();
        self.retries.check_at_rest();
        assert!(self.sibling_requests.is_empty(), "requests of siblings never ended");
        if let Some(admission) = &self.admission {
            admission.check_at_rest();
        }
    }

    /// The rule that decides now.
    pub const fn policy(&self) -> PolicyConfig {
        self.policy
    }

    /// Takes one input at `now` and adds what is to be done to `out`.
    ///
    /// The order of calls:
    ///
    /// - `now` never goes back from one call to the next.
    /// - A request's [`Input::Arrived`] comes first. `PrefillDone`, `FirstToken`, `Finished` and
    ///   `Cancelled` follow after its [`Action::Dispatch`], in this order and each at most once;
    ///   `Finished` or `Cancelled` is the last. `Cancelled` may also end a request that is held. What
    ///   is said of a request that the router does not know is ignored.
    /// - [`Input::Failed`] ends an attempt. If it brings the request to send again, an action follows as
    ///   for a request that arrives, and after `Dispatch` the order begins anew. It also comes for a
    ///   request whose worker was lost before: that one is decided about too.
    /// - After [`Action::Reject`] nothing more is said of a request. Its id may come again, like that of
    ///   a request that has ended.
    /// - A worker's [`Input::Joined`] comes before anything else is said of it. When a worker is lost,
    ///   the router forgets the requests on it; a `Cancelled` for each of them is ignored.
    /// - After each call, [`Router::next_wake`] may be another. When it comes and nothing else happens,
    ///   apply [`Input::Tick`].
    ///
    /// `lookup` says what each source holds of a prompt. Every call needs the real one: requests that
    /// are held may be decided about at any input. It is asked at most once for each decision, and only
    /// if the rule wants to know.
    ///
    /// What is decided about held requests comes in the order of the queue: of their arrival, or of late
    /// binding. At an arrival, held requests that are due come before the new one.
    pub fn apply(
        &mut self,
        now: Instant,
        input: &Input,
        lookup: Lookup<'_>,
        out: &mut Vec<Action>,
    ) {
        self.fleet.expire(now);
        if let Some(admission) = &mut self.admission {
            admission.learn(now, input, &self.fleet);
        }
        self.take_in(now, input);
        self.fleet.settle(now);
        for worker in self.fleet.look_for_silence(now) {
            let waiting = self.fleet.worker(worker).into_iter().flat_map(WorkerState::waiting);
            out.extend(waiting.map(|id| Action::Abandon { id, worker }));
        }
        if let Some(what) = input.observed() {
            if self.siblings.tell {
                self.news.extend(News::of(&what));
            }
            self.rule.observe(now, &what);
            self.shadows.get_mut().observe(now, &what);
        }
        // A worker may be open by now: those that wait come before what arrives.
        let all = input.may_free_room() || self.admission.is_some();
        self.review_queue(now, all, lookup, out);
        let (request, action) = match input {
            Input::Arrived(request) => (request, self.arrive(now, request, lookup, out)),
            Input::Failed { again: Some(request), .. } => {
                (request, self.try_again(now, request, lookup, out))
            }
            _ => return,
        };
        self.act(now, request, None, action, out);
    }

    /// When to apply [`Input::Tick`], if nothing else happens before. Ask again after each
    /// [`Router::apply`].
    pub fn next_wake(&self) -> Option<Instant> {
        match (self.fleet.next_expiry(), self.queue.next_wake()) {
            (Some(expiry), Some(held)) => Some(expiry.min(held)),
            (one, other) => one.or(other),
        }
    }

    /// What an input changes by itself, before anything is decided.
    fn take_in(&mut self, now: Instant, input: &Input) {
        match input {
            Input::PrefillDone(id) => self.fleet.kv_sent(now, *id),
            Input::FirstToken(id) => self.fleet.first_token(now, *id),
            Input::Finished { id, .. } => {
                self.fleet.end(now, *id, true);
                self.retries.forget(*id);
            }
            Input::Failed { id, worker, how, again } => {
                let counts = self.retries.blames_worker(*id, *how);
                self.fleet.failed(now, (*worker, *id), *how, counts);
                match again {
                    Some(_) => self.retries.failed(*id, *worker, *how),
                    None => self.retries.forget(*id),
                }
            }
            Input::Cancelled(id) => {
                self.retries.forget(*id);
                if !self.queue.cancel(*id) {
                    self.fleet.end(now, *id, false);
                }
            }
            Input::Joined(info) => self.fleet.join(now, info.clone()),
            Input::Draining(id) => self.fleet.drain(*id),
            Input::Drained(id) => self.fleet.set_drained(*id, true),
            Input::Undrained(id) => self.fleet.set_drained(*id, false),
            Input::Lost(SourceId::Worker(id)) => self.fleet.lose(now, *id),
            Input::Load(report) => self.fleet.report(now, report.clone()),
            Input::SetPolicy(policy) => {
                self.policy = *policy;
                self.rule = RunningRule::new(*policy);
                for (_, worker) in self.fleet.workers() {
                    self.rule.observe(now, &Observed::Joined(worker.info));
                }
                self.fleet.set_poll(policy.poll());
            }
            Input::Sibling { router, news } => self.hear(now, *router, news),
            Input::SiblingLost(router) => self.lose_sibling(now, *router),
            Input::Arrived(_) => self.retries.arrived(),
            Input::Lost(SourceId::Pool(_)) | Input::Tick => {}
        }
    }

    fn arrive(
        &mut self,
        now: Instant,
        request: &Request,
        lookup: Lookup<'_>,
        out: &mut Vec<Action>,
    ) -> Action {
        let id = request.id;
        let choice = match self.check_id(id) {
            Ok(()) => {
                let may_wait = self.queue.has_room_for(request);
                self.choose(now, Duration::ZERO, request, may_wait, lookup)
            }
            Err(reason) => Err(reason),
        };
        let held = match choice {
            Ok(Step::Send(decision)) => return Action::Dispatch { id, decision },
            Ok(Step::Hold { until, place, cost }) => {
                self.make_room(now, request, place, out);
                let held = self.queue.push(now, request, until, place);
                if held.is_ok()
                    && let (Some(admission), Some((_, place))) = (&mut self.admission, place)
                {
                    admission.hold(now, request.tenant, place, cost);
                }
                held
            }
            Err(reason) => Err(reason),
        };
        match held {
            Ok(until) => Action::Hold { id, until },
            Err(reason) => Action::Reject { id, reason },
        }
    }

    /// Asks the rule. A request that is sent is explained, where explanations are kept.
    fn choose(
        &mut self,
        now: Instant,
        waited: Duration,
        request: &Request,
        may_wait: bool,
        lookup: Lookup<'_>,
    ) -> Result<Step, RejectReason> {
        self.eligible.find(&self.fleet, request, now, self.retries.tried(request.id))?;
        let view = self.view(now, lookup);
        let mut choice = self.rule.choose(request, &view);
        let decision = match &mut choice {
            Choice::Send(decision) => decision,
            &mut Choice::Hold { until } => {
                let asked = Asked { now, waited, request, may_wait };
                let judged = self
                    .admits(request)
                    .map(|admission| self.admit_held(admission, asked, until, &view));
                self.kept.discard();
                let until = judged.transpose()?.unwrap_or(until);
                // Without a decision there is nothing else to order by.
                let (place, cost) = match (&self.admission, self.policy.hold()) {
                    (Some(admission), _) => {
                        (Some(admission.place(request)), admission.cost(request, None))
                    }
                    (None, Some(_)) => (Some(in_order(now.back(waited))), 0),
                    (None, None) => (None, 0),
                };
                let place = place.map(|place| (request.priority, place));
                return Ok(Step::Hold { until, place, cost });
            }
        };
        let mut busy = Vec::new();
        if let Some(admission) = self.admits(request) {
            let asked = Asked { now, waited, request, may_wait };
            match self.admit(admission, asked, decision, &view) {
                Ok(Admitted::Send(closed)) => busy = closed,
                Ok(Admitted::Wait(until)) => {
                    let place = Some((request.priority, admission.place(request)));
                    let cost = admission.cost(request, Some((decision, &self.fleet)));
                    self.kept.discard();
                    return Ok(Step::Hold { until, place, cost });
                }
                Err(reason) => {
                    self.kept.discard();
                    return Err(reason);
                }
            }
        }
        if let Some(hold) = self.policy.hold() {
            let arrived = now.back(waited);
            match hold.judge(waited, request, decision, &view) {
                Verdict::Hold(until) if may_wait => {
                    let (place, cost) = match &self.admission {
                        Some(admission) => (
                            admission.place(request),
                            admission.cost(request, Some((decision, &self.fleet))),
                        ),
                        None => (hold.place(arrived, request, decision, &view), 0),
                    };
                    let place = Some((request.priority, place));
                    self.kept.discard();
                    return Ok(Step::Hold { until, place, cost });
                }
                Verdict::Reject(reason) => {
                    self.kept.discard();
                    return Err(reason);
                }
                // What a worker would take is not refused because the queue is full.
                Verdict::Send | Verdict::Hold(_) => {}
            }
        }
        decode::complete(decision, request, &view, &self.eligible.decode);
        decision.limits = self.time.map(|time| {
            let expected = self.fleet.expected(now, request, decision);
            time.of(expected.map(|expected| self.fleet.rotation().usual(expected)))
        });
        if self.tells_holders {
            decision.holders = Some(view.holders(&request.prompt, decision.worker));
        }
        if waited == Duration::ZERO && self.retries.tried(request.id).is_empty() {
            let looked = view.looked.clone();
            let view = FleetView { notes: None, looked, ..self.view(now, lookup) };
            self.shadows.borrow_mut().ask(request, decision, &view);
        }
        if let Some(notes) = self.kept.notes() {
            fill(&mut notes.borrow_mut(), &view, &busy);
            let tried = self.retries.tried(request.id);
            let left_out = left_out(&self.fleet, now, tried, &busy);
            self.kept.keep(self.about(now, waited, request), &choice, left_out);
        }
        match choice {
            Choice::Send(decision) => Ok(Step::Send(decision)),
            Choice::Hold { until } => Ok(Step::Hold { until, place: None, cost: 0 }),
        }
    }

    /// Books a request that is sent, lets the rule see the action, and gives it out. `held`: its place in
    /// the queue, if it comes from there.
    fn act(
        &mut self,
        now: Instant,
        request: &Request,
        held: Option<i64>,
        action: Action,
        out: &mut Vec<Action>,
    ) {
        let what = match &action {
            Action::Dispatch { decision, .. } => {
                self.decided += 1;
                if let Some(admission) = &mut self.admission {
                    admission.sent((now, held), request, decision, &self.fleet);
                }
                self.fleet.book(now, request, decision);
                if self.siblings.tell {
                    let (request, decision) = (request.clone(), decision.clone());
                    self.news.push(News::Sent { request, decision });
                }
                Observed::Dispatched { request, decision }
            }
            Action::Hold { until, .. } => Observed::Held { request, until: *until },
            Action::Reject { id, reason } => {
                self.retries.forget(*id);
                Observed::Rejected { request, reason: *reason }
            }
            Action::Abandon { .. } => unreachable!("no decision about a request abandons it"),
        };
        self.rule.observe(now, &what);
        self.shadows.get_mut().observe(now, &what);
        out.push(action);
    }

    fn view<'a>(&'a self, now: Instant, lookup: Lookup<'a>) -> FleetView<'a> {
        FleetView {
            fleet: &self.fleet,
            eligible: &self.eligible.prefill,
            now,
            seed: self.seed,
            ordinal: self.decided,
            lookup,
            scratch: &self.scratch,
            looked: Cell::new(false),
            notes: self.kept.notes(),
        }
    }

    fn check_id(&self, id: RequestId) -> Result<(), RejectReason> {
        match self.fleet.has_booking(id) || self.queue.holds(id) {
            true => Err(RejectReason::DuplicateId),
            false => Ok(()),
        }
    }
}

/// What is to be done with a request now.
enum Step {
    Send(Decision),
    Hold {
        until: Instant,
        /// The priority, and what late binding orders by.
        place: Option<(i32, i64)>,
        /// What it costs its tenant, where there is admission.
        cost: i64,
    },
}

/// For tests and tools that have no index: no source holds anything.
pub fn no_lookup(_: &TokenBlocks, out: &mut Overlap) {
    out.clear();
}
