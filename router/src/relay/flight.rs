//! What a request leaves in the router while it is under way.
//!
//! - `ends`: how a request ends, and what is done then.
//!
//! However a request ends, its [`Flight`] is dropped and leaves nothing behind: no entry in a
//! table, no booking, no place among the held requests, and no work on a worker that no client
//! waits for.

mod ends;

use super::measure::Measure;
use super::refusal;
use super::traced::Traced;
use crate::call::UpstreamError;
use crate::error::RequestError;
use crate::fleet::worker::WorkerLink;
use crate::handle::Arrival;
use crate::in_flight::{Key, Tracked};
use crate::incoming::Incoming;
use crate::metrics::{self, Outcome};
use crate::policy::ActivePolicy;
use crate::state::RouterState;
use crate::waiting::Verdict;
use ends::kind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use warmpath_core::block::TokenBlocks;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::input::{Decision, Failure, Input, RejectReason};
use warmpath_core::routing::retry::GiveUp;
use warmpath_proto::clock::{now, since};
use warmpath_proto::deadline::passed;

/// When a worker dies, its feed ends at most this long after its other connections.
const LOSS_SHOWS: Duration = Duration::from_millis(250);

/// How far a request is.
#[derive(Debug)]
enum Stage {
    /// The core router does not know it.
    Registered,
    /// The core router holds it. The receiver lives as long as its sender is waited for: a verdict
    /// always has a receiver.
    Held(oneshot::Receiver<Verdict>),
    /// Sent to this worker.
    Sent(Arc<WorkerLink>),
    /// Its end is known.
    Over,
}

/// A decision about a request.
#[derive(Debug)]
pub struct Dispatched {
    pub link: Arc<WorkerLink>,
    pub decision: Decision,
    /// How long the core router held the request.
    pub held_for: Duration,
}

/// An attempt that failed.
#[derive(Debug)]
pub struct Failed {
    pub how: Failure,
    pub cause: UpstreamError,
    /// The worker may still be at work on it.
    pub at_work: bool,
}

/// A request's footprint in the router. Dropping it removes the footprint.
#[derive(Debug)]
pub struct Flight {
    state: Arc<RouterState>,
    pub id: RequestId,
    /// Its key in the table of requests.
    key: Key,
    /// The name of the attempt under way.
    pub upstream_id: Arc<str>,
    /// Attempts so far.
    attempts: u32,
    stage: Stage,
    /// The worker that may still hold the prompt's KV for the worker that answers.
    holds: Option<Arc<WorkerLink>>,
    /// The worker that computed the prompt, if it is not the one that answers.
    computed: Option<Arc<WorkerLink>>,
    /// Another process sends it, under a name of its own: its worker has nothing to abort by ours.
    sent_elsewhere: bool,
    /// The policy that chose the worker.
    policy: ActivePolicy,
    measure: Measure,
    pub traced: Traced,
}

impl Flight {
    /// Enters a request into the table.
    pub fn register(state: &Arc<RouterState>, incoming: &Incoming) -> Result<Self, RequestError> {
        let id = RequestId(state.next_id.fetch_add(1, Ordering::Relaxed));
        let upstream_id = state.upstream_id(id, 1);
        let name = match incoming.name.as_str() {
            "" => upstream_id.to_string(),
            named => named.to_owned(),
        };
        let upstream = Arc::clone(&upstream_id);
        let tracked = Tracked { id, link: None, upstream_id: upstream, aborted: false };
        let key = (incoming.tenant.id, name);
        if !state.in_flight.add(key.clone(), tracked) {
            return Err(RequestError::NameInUse(key.1));
        }
        let (policy, state) = (state.router.policy(), Arc::clone(state));
        let (holds, computed, stage) = (None, None, Stage::Registered);
        let attempts = 0;
        let measure = Measure::new(incoming.received, state.config.speedup);
        let traced = Traced::new(&state.tracer, incoming, &key.1);
        Ok(Self {
            state,
            id,
            key,
            upstream_id,
            attempts,
            stage,
            holds,
            computed,
            sent_elsewhere: false,
            policy,
            measure,
            traced,
        })
    }

    /// Another process sends it to its worker, and aborts it there.
    pub const fn is_sent_elsewhere(&mut self) {
        self.sent_elsewhere = true;
    }

    /// Gets a decision, and waits for it while the core router holds the request.
    pub async fn dispatch(
        &mut self,
        request: Request,
        deadline: Option<Instant>,
    ) -> Result<Dispatched, RequestError> {
        let prompt = request.prompt.clone();
        let arrival = self.state.router.arrive(request);
        let decided = match self.verdict(arrival, deadline).await {
            Ok((Verdict::Reject(reason), _)) => Err(refusal::of(&self.state, reason)),
            Ok((verdict, held_for)) => self.dispatched(verdict, &prompt, held_for),
            Err(error) => Err(error),
        };
        if let Err(error) = &decided {
            self.traced.failed(kind(error, "refused"), &error.to_string());
        }
        decided
    }

    /// An attempt failed. Gets a decision about the next one, if `again` has the request for it.
    pub async fn again(
        &mut self,
        failed: Failed,
        again: Option<Request>,
        deadline: Option<Instant>,
    ) -> Result<Dispatched, RequestError> {
        let next = self.next(failed, again, deadline).await;
        if let Err(error) = &next {
            self.traced.failed(kind(error, Outcome::WorkerFailed.name()), &error.to_string());
        }
        next
    }

    async fn next(
        &mut self,
        Failed { how, cause, at_work }: Failed,
        again: Option<Request>,
        deadline: Option<Instant>,
    ) -> Result<Dispatched, RequestError> {
        if !at_work {
            self.let_loss_show().await;
        }
        let Some(link) = self.leave() else { return Err(RequestError::EndedTwice) };
        self.computed = None;
        metrics::attempt_failed(&link.name, how);
        self.traced.attempt_failed(how.name(), &cause.why);
        if at_work {
            self.abort(Arc::clone(&link));
        }
        let prompt = again.as_ref().map(|request| request.prompt.clone());
        let arrival = self.state.router.fail((self.id, link.id), how, again);
        link.forget(self.id);
        let (Some(arrival), Some(prompt)) = (arrival, prompt) else {
            metrics::ended(&link.series, &self.policy, Outcome::WorkerFailed);
            return Err(self.failure(&link, cause));
        };
        tracing::info!(worker = link.name, request = self.key.1, ?how, %cause, "an attempt failed");
        if self.state.in_flight.is_aborted(&self.key)
            && matches!(arrival, Arrival::Decided(Verdict::Dispatch(_)))
        {
            self.state.router.tell(Input::Cancelled(self.id));
            metrics::ended(&link.series, &self.policy, Outcome::Aborted);
            return Err(RequestError::Aborted);
        }
        let (verdict, held_for) = self.verdict(arrival, deadline).await?;
        let reason = match verdict {
            Verdict::Reject(reason) => reason,
            verdict => return self.dispatched(verdict, &prompt, held_for),
        };
        metrics::ended(&link.series, &self.policy, Outcome::WorkerFailed);
        Err(match reason {
            RejectReason::GaveUp { why: GiveUp::Off, .. } => self.failure(&link, cause),
            RejectReason::GaveUp { tries, why } => {
                let worker = link.place();
                self.logged(&link, RequestError::GaveUp { worker, cause, tries, why })
            }
            reason => self.logged(&link, refusal::of(&self.state, reason)),
        })
    }

    /// A worker whose connection broke may be gone, and its feed says so a moment later. While requests are
    /// held, the booking stays until then: otherwise the core router would send them, one after the other,
    /// to a worker that is gone.
    async fn let_loss_show(&self) {
        if let Stage::Sent(link) = &self.stage
            && self.state.router.held().requests > 0
        {
            let _ = tokio::time::timeout(LOSS_SHOWS, link.lost()).await;
        }
    }

    /// What the core router decided, and how long it held the request.
    async fn verdict(
        &mut self,
        arrival: Arrival,
        deadline: Option<Instant>,
    ) -> Result<(Verdict, Duration), RequestError> {
        let verdict = match arrival {
            Arrival::Decided(verdict) => (verdict, Duration::ZERO),
            Arrival::Held(verdict) => {
                let begun = now();
                self.stage = Stage::Held(verdict);
                (self.wait(deadline).await?, since(begun))
            }
        };
        self.stage = Stage::Over;
        Ok(verdict)
    }

    fn dispatched(
        &mut self,
        verdict: Verdict,
        prompt: &TokenBlocks,
        held_for: Duration,
    ) -> Result<Dispatched, RequestError> {
        let decision = match verdict {
            Verdict::Dispatch(decision) => decision,
            Verdict::Reject(reason) => return Err(reason.into()),
            Verdict::Aborted => return Err(RequestError::AbortedHeld),
            Verdict::Draining => return Err(RequestError::Draining),
        };
        self.policy = self.state.router.policy();
        self.state.decided.push(&self.key, self.id);
        let Some(link) = self.state.roster.get(decision.worker) else {
            // An operator removed it since the decision, without waiting for its requests.
            self.state.router.tell(Input::Cancelled(self.id));
            return Err(RequestError::WorkerRemoved(decision.worker));
        };
        self.measure.decided(&self.policy, prompt, &link.series, &decision);
        self.traced.decided(&self.policy.label, &link, &decision, held_for);
        if let Some(pull) = decision.pull {
            metrics::pull(&link.name, pull);
        }
        self.attempts += 1;
        if self.attempts > 1 {
            // Another name: an abort of an earlier attempt must not end this one.
            self.upstream_id = self.state.upstream_id(self.id, self.attempts);
            metrics::tried_again(&link.name);
        }
        self.state.in_flight.set_worker(&self.key, &link, &self.upstream_id);
        self.stage = Stage::Sent(Arc::clone(&link));
        Ok(Dispatched { link, decision, held_for })
    }

    /// Whether the attempt under way would be followed by another one if it failed so.
    pub fn may_try_again(&self, how: Failure) -> bool {
        match &self.stage {
            Stage::Sent(link) => self.state.router.may_try_again(self.id, link.id, how),
            Stage::Registered | Stage::Held(_) | Stage::Over => false,
        }
    }

    /// Attempts so far.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Waits for the verdict about a held request.
    async fn wait(&mut self, deadline: Option<Instant>) -> Result<Verdict, RequestError> {
        // Its client may have aborted it before it was held.
        if self.state.in_flight.is_aborted(&self.key) {
            self.state.router.withdraw(self.id, Verdict::Aborted);
        }
        let Stage::Held(verdict) = &mut self.stage else {
            unreachable!("only a held request waits")
        };
        tokio::select! {
            // A verdict that is there counts, even if the deadline has just passed.
            biased;
            verdict = verdict => Ok(verdict.expect("the router keeps the sender until it sends")),
            () = passed(deadline) => {
                self.state.router.cancel(self.id, "deadline_exceeded");
                self.stage = Stage::Over;
                Err(RequestError::DeadlinePassedHeld)
            }
        }
    }

    /// The first of two workers is done, with or without success: the second is next. `computed`:
    /// the first one has computed the prompt.
    pub fn send_kv(
        &mut self,
        decode: WorkerId,
        computed: bool,
    ) -> Result<Arc<WorkerLink>, RequestError> {
        self.state.router.tell(Input::PrefillDone(self.id));
        let Some(link) = self.state.roster.get(decode) else {
            // An operator removed it since the decision, without waiting for its requests.
            self.give_up(Outcome::WorkerFailed);
            return Err(RequestError::WorkerRemoved(decode));
        };
        self.state.in_flight.set_worker(&self.key, &link, &self.upstream_id);
        let first = std::mem::replace(&mut self.stage, Stage::Sent(Arc::clone(&link)));
        if let Stage::Sent(first) = first {
            self.computed = computed.then(|| Arc::clone(&first));
            self.holds = Some(first);
        }
        Ok(link)
    }

    /// The worker of the attempt under way sent its first token. `of_answer`: the client has none yet.
    pub fn first_token(&mut self, of_answer: bool) {
        self.state.router.tell(Input::FirstToken(self.id));
        if of_answer {
            self.traced.first_token();
            self.measure.first_token(&self.policy);
        }
    }

    /// The worker of the attempt under way has computed a prompt.
    pub fn computed(&self, prompt: &TokenBlocks) {
        if let Stage::Sent(link) = &self.stage {
            link.source.served(prompt);
        }
    }

    /// The worker knows the request from now on, so an abort that came before can be passed on.
    pub fn reached_worker(&self) {
        if let Stage::Sent(link) = &self.stage
            && self.state.in_flight.is_aborted(&self.key)
        {
            self.abort(Arc::clone(link));
        }
    }

    /// The client's name for the request, or the router's.
    pub fn name(&self) -> &str {
        &self.key.1
    }

    /// Its end is known.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }
}
