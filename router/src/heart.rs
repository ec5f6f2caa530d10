//! The core's router behind a lock. Everything that happens to it goes through [`Heart::apply`], so
//! that its record is complete and in order.

use crate::record::RecordSender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use warmpath_core::id::RequestId;
use warmpath_core::request::Request;
use warmpath_core::routing::Router;
use warmpath_core::routing::explain::Explanation;
use warmpath_core::routing::fleet::Fleet;
use warmpath_core::routing::input::{Action, Input, RejectReason};
use warmpath_core::routing::no_lookup;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::view::Lookup;
use warmpath_core::time::Instant;
use warmpath_proto::clock::ModelClock;

#[derive(Debug)]
pub struct Heart {
    clock: ModelClock,
    state: Mutex<State>,
    /// The one wake-up key, told to the ticker when it changes.
    wake: watch::Sender<Option<Instant>>,
    /// The rule that decides now, beside the router so that its name needs no wait for a decision.
    policy: Mutex<PolicyConfig>,
}

#[derive(Debug)]
struct State {
    router: Router,
    record: Option<RecordSender>,
}

impl Heart {
    pub fn new(clock: ModelClock, router: Router, record: Option<RecordSender>) -> Self {
        let policy = Mutex::new(router.policy());
        let state = Mutex::new(State { router, record });
        Self { clock, state, wake: watch::channel(None).0, policy }
    }

    pub const fn clock(&self) -> &ModelClock {
        &self.clock
    }

    /// Hashing is done before, so the lock is held for a decision only.
    pub fn apply(&self, input: Input, lookup: Lookup<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut state = self.lock();
        // Under the lock, so that instants in the record never go back.
        let now = self.clock.now();
        let State { router, record } = &mut *state;
        match record {
            Some(record) => {
                let entry = router.apply_recorded(now, input, lookup, &mut actions);
                record.send(entry);
            }
            None => router.apply(now, &input, lookup, &mut actions),
        }
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = router.policy();
        let next = router.next_wake();
        self.wake.send_if_modified(|wake| std::mem::replace(wake, next) != next);
        actions
    }

    /// For inputs that decide nothing.
    pub fn tell(&self, input: Input) {
        let actions = self.apply(input, &no_lookup);
        debug_assert!(actions.is_empty(), "{actions:?}");
    }

    pub fn fleet<T>(&self, read: impl FnOnce(&Fleet) -> T) -> T {
        read(self.lock().router.fleet())
    }

    /// The rule that decides now. Metrics are named by it.
    pub fn policy(&self) -> PolicyConfig {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decisions are explained from now on, the last so many.
    pub fn keep_explanations(&self, last: usize) {
        self.lock().router.keep_explanations(last);
    }

    pub fn explanation(&self, id: RequestId) -> Option<Explanation> {
        self.lock().router.explanation(id)
    }

    /// What would be decided now. Nothing happens to the router, so nothing is recorded.
    pub fn explain(
        &self,
        request: &Request,
        lookup: Lookup<'_>,
    ) -> Result<Explanation, RejectReason> {
        let state = self.lock();
        state.router.explain(self.clock.now(), request, lookup)
    }

    /// Ends the record; its writer then comes to its end.
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
                changed = wake.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(self.clock.wall(due).into()) => self.tell(Input::Tick),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
