//! The core router behind a lock. Everything that happens to it goes through [`RouterHandle`], so
//! its record is complete and in order.

use crate::fleet::roster::Roster;
use crate::index::SharedIndex;
use crate::policy::ActivePolicy;
use crate::record::RecordSender;
use crate::telling::Teller;
use crate::waiting::{Held, Verdict, Waiting};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{oneshot, watch};
use warmpath_core::block::TokenBlocks;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::Router;
use warmpath_core::routing::explain::Explanation;
use warmpath_core::routing::fleet::Fleet;
use warmpath_core::routing::index::Overlap;
use warmpath_core::routing::input::{Action, Failure, Input, RejectReason};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::policy::shadow::ShadowCounts;
use warmpath_core::time::Instant;
use warmpath_proto::clock::ModelClock;

/// What became of a request that arrived.
#[derive(Debug)]
pub enum Arrival {
    Decided(Verdict),
    /// The router holds it. The verdict follows.
    Held(oneshot::Receiver<Verdict>),
}

/// The core router, its clock, its record, and the requests that wait for its decisions.
#[derive(Debug)]
pub struct RouterHandle {
    clock: ModelClock,
    index: Arc<SharedIndex>,
    roster: Arc<Roster>,
    state: Mutex<State>,
    /// When the next tick is due. The task that ticks waits for changes.
    wake: watch::Sender<Option<Instant>>,
    /// A copy of the policy that decides now: readers do not wait for a decision.
    policy: RwLock<ActivePolicy>,
    /// What siblings are told.
    teller: Teller,
}

#[derive(Debug)]
struct State {
    router: Router,
    record: Option<RecordSender>,
    waiting: Waiting,
    /// Reused, so that an input allocates nothing.
    actions: Vec<Action>,
}

impl RouterHandle {
    /// `record`: where each input and its actions are written.
    pub fn new(
        clock: ModelClock,
        router: Router,
        (index, roster): (Arc<SharedIndex>, Arc<Roster>),
        record: Option<RecordSender>,
    ) -> Self {
        let policy = RwLock::new(ActivePolicy::new(router.policy()));
        let (waiting, actions) = (Waiting::default(), Vec::new());
        let state = Mutex::new(State { router, record, waiting, actions });
        let (wake, teller) = (watch::channel(None).0, Teller::default());
        Self { clock, index, roster, state, wake, policy, teller }
    }

    pub const fn clock(&self) -> &ModelClock {
        &self.clock
    }

    /// What siblings are told. Only a router that shares its bookings has something to tell.
    pub const fn teller(&self) -> &Teller {
        &self.teller
    }

    /// A request arrived. Its blocks are hashed before this call, so the lock is held for the
    /// decision only.
    pub fn arrive(&self, request: Request) -> Arrival {
        let (id, tokens) = (request.id, request.prompt.tokens());
        let mut state = self.lock();
        let verdict = self.apply(&mut state, Input::Arrived(request), Some(id));
        self.arrival(&mut state, (id, tokens), verdict)
    }

    /// What became of a request, after the input that asked about it.
    fn arrival(
        &self,
        state: &mut State,
        (id, tokens): (RequestId, u32),
        verdict: Option<Verdict>,
    ) -> Arrival {
        match verdict {
            Some(verdict) => Arrival::Decided(verdict),
            None if state.waiting.is_closed() => {
                self.apply(state, Input::Cancelled(id), None);
                Arrival::Decided(Verdict::Draining)
            }
            // The lock is still held, so no decision about it can have come before its waiter.
            None => Arrival::Held(state.waiting.add(id, tokens)),
        }
    }

    /// An attempt at a request failed. With `again`, the request as it would be sent again, there is an
    /// answer about it; without, the attempt's booking ends and that is all.
    pub fn fail(
        &self,
        (id, worker): (RequestId, WorkerId),
        how: Failure,
        again: Option<Request>,
    ) -> Option<Arrival> {
        let tokens = again.as_ref().map(|request| request.prompt.tokens());
        let own = tokens.map(|_| id);
        let mut state = self.lock();
        let verdict = self.apply(&mut state, Input::Failed { id, worker, how, again }, own);
        Some(self.arrival(&mut state, (id, tokens?), verdict))
    }

    /// Whether an attempt that failed so now would be followed by another one.
    pub fn may_try_again(&self, id: RequestId, worker: WorkerId, how: Failure) -> bool {
        self.lock().router.may_try_again(self.clock.now(), id, worker, how)
    }

    /// Any input but an arrival. Decisions about held requests go to the tasks that wait for them.
    pub fn tell(&self, input: Input) {
        self.apply(&mut self.lock(), input, None);
    }

    /// A request ended without an answer, whether it was held, sent to a worker, or just decided.
    pub fn cancel(&self, id: RequestId, why: &'static str) {
        let mut state = self.lock();
        state.waiting.remove(id, why);
        self.apply(&mut state, Input::Cancelled(id), None);
    }

    /// Ends a request if it is held, with this verdict. Returns whether it was held.
    pub fn withdraw(&self, id: RequestId, verdict: Verdict) -> bool {
        let mut state = self.lock();
        let held = state.waiting.settle(id, verdict).is_ok();
        if held {
            self.apply(&mut state, Input::Cancelled(id), None);
        }
        held
    }

    /// Ends all held requests, and from now on every request that would be held: the router shuts
    /// down.
    pub fn stop_holding(&self) {
        let mut state = self.lock();
        for id in state.waiting.close() {
            // Each end may let the core router send the next one.
            if state.waiting.settle(id, Verdict::Draining).is_ok() {
                self.apply(&mut state, Input::Cancelled(id), None);
            }
        }
    }

    /// Requests that are held now.
    pub fn held(&self) -> Held {
        self.lock().waiting.held()
    }

    pub fn fleet<T>(&self, read: impl FnOnce(&Fleet) -> T) -> T {
        read(self.lock().router.fleet())
    }

    /// The policy that decides now. Metrics are labelled with it.
    pub fn policy(&self) -> ActivePolicy {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the rules beside the one that decides would have done.
    pub fn shadows(&self) -> Vec<(PolicyConfig, ShadowCounts)> {
        self.lock().router.shadows()
    }

    /// Keeps the explanations of the last `last` decisions from now on.
    pub fn keep_explanations(&self, last: usize) {
        self.lock().router.keep_explanations(last);
    }

    /// The explanation of a decision, if it is still kept.
    pub fn explanation(&self, id: RequestId) -> Option<Explanation> {
        self.lock().router.explanation(id)
    }

    /// What would be decided now. The router does not change, so nothing is recorded.
    pub fn explain(&self, request: &Request) -> Result<Explanation, RejectReason> {
        let state = self.lock();
        state.router.explain(self.clock.now(), request, &self.lookup())
    }

    /// Ends the record. Its writer then finishes.
    pub fn close_record(&self) {
        self.lock().record = None;
    }

    /// Applies a tick whenever one is due. Runs until it is dropped.
    pub async fn tick(&self) {
        let mut wake = self.wake.subscribe();
        loop {
            let due = *wake.borrow_and_update();
            let Some(due) = due else {
                if wake.changed().await.is_err() {
                    return;
                }
                continue;
            };
            tokio::select! {
                biased;
                changed = wake.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(self.clock.wall(due).into()) => self.tell(Input::Tick),
            }
        }
    }

    /// Applies an input and passes its actions on. Returns the verdict about `own`, the request that
    /// the input brings: one that arrives, or one to send again.
    fn apply(&self, state: &mut State, input: Input, own: Option<RequestId>) -> Option<Verdict> {
        let State { router, record, waiting, actions } = state;
        let changes_policy = matches!(input, Input::SetPolicy(_));
        // The lock is held here, so instants in the record never go back.
        let now = self.clock.now();
        match record {
            Some(record) => {
                let entry = router.apply_recorded(now, input, &self.lookup(), actions);
                record.send(entry);
            }
            None => router.apply(now, &input, &self.lookup(), actions),
        }
        // Under the router's lock, so that news come in the order of what happened.
        for news in router.take_news() {
            self.teller.tell(news);
        }
        if changes_policy {
            let policy = ActivePolicy::new(router.policy());
            *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        }
        let next = router.next_wake();
        self.wake.send_if_modified(|wake| std::mem::replace(wake, next) != next);
        let (mut verdict, mut held) = (None, false);
        for action in actions.drain(..) {
            let (id, decided) = match action {
                Action::Dispatch { id, decision } => (id, Verdict::Dispatch(decision)),
                Action::Reject { id, reason } => (id, Verdict::Reject(reason)),
                Action::Abandon { id, worker } => {
                    if let Some(link) = self.roster.get(worker) {
                        link.abandon(id);
                    }
                    continue;
                }
                Action::Hold { id, .. } => {
                    held |= own == Some(id);
                    debug_assert!(
                        own == Some(id),
                        "only the input's own request begins to be held"
                    );
                    continue;
                }
            };
            match own {
                Some(own) if own == id => verdict = Some(decided),
                _ => waiting.deliver(id, decided),
            }
        }
        debug_assert!(
            own.is_none() || verdict.is_some() != held,
            "a request that an input brings has one action, and one only"
        );
        verdict
    }

    /// What the index holds of a prompt. Its lock is taken only if the policy asks.
    fn lookup(&self) -> impl Fn(&TokenBlocks, &mut Overlap) {
        |prompt, out| self.index.look_up(prompt, out)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
