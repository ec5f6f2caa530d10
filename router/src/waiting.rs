//! The requests that the core router holds, and the tasks that wait for its decision about each.

use crate::metrics;
use std::collections::HashMap;
use std::time::Instant;
use tokio::sync::oneshot;
use warmpath_core::id::RequestId;
use warmpath_core::routing::input::{Action, Decision, RejectReason};

/// How the wait of a request ends.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    Dispatch(Decision),
    Reject(RejectReason),
    /// Its client aborted it.
    Aborted,
    /// The router shuts down.
    Draining,
}

impl Verdict {
    /// The request and the verdict of an action.
    pub fn of(action: Action) -> (RequestId, Self) {
        match action {
            Action::Dispatch { id, decision } => (id, Self::Dispatch(decision)),
            Action::Reject { id, reason } => (id, Self::Reject(reason)),
        }
    }

    /// The `outcome` label of the metric.
    const fn name(&self) -> &'static str {
        match self {
            Self::Dispatch(_) => "dispatched",
            Self::Reject(_) => "rejected",
            Self::Aborted => "aborted",
            Self::Draining => "draining",
        }
    }
}

/// How much is held.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Held {
    pub requests: usize,
    pub prompt_tokens: u64,
}

/// The held requests. The core router's lock guards this, so no decision comes between an arrival
/// and [`Waiting::add`].
#[derive(Debug, Default)]
pub struct Waiting {
    by_id: HashMap<RequestId, Waiter>,
    prompt_tokens: u64,
    closed: bool,
}

#[derive(Debug)]
struct Waiter {
    verdict: oneshot::Sender<Verdict>,
    since: Instant,
    prompt_tokens: u32,
}

impl Waiting {
    /// A request that is held from now on. The receiver gets its verdict.
    pub fn add(&mut self, id: RequestId, prompt_tokens: u32) -> oneshot::Receiver<Verdict> {
        let (verdict, waiter) = oneshot::channel();
        let waiting = Waiter { verdict, since: Instant::now(), prompt_tokens };
        self.prompt_tokens += u64::from(prompt_tokens);
        self.by_id.insert(id, waiting);
        waiter
    }

    /// Passes a decision of the core router to the task that waits for it. Without such a task the
    /// decision has no effect: the worker would stay booked. That is a fault of the router, so it
    /// is logged and counted, and tests fail.
    pub fn deliver(&mut self, id: RequestId, verdict: Verdict) {
        if let Err(verdict) = self.settle(id, verdict) {
            metrics::unclaimed_action();
            tracing::error!(request = %id, action = ?verdict, "no task waits for this action");
            debug_assert!(false, "no task waits for {verdict:?} of {id}");
        }
    }

    /// Ends the wait of a request. The verdict comes back if no task waits for it.
    pub fn settle(&mut self, id: RequestId, verdict: Verdict) -> Result<(), Verdict> {
        match self.take(id, verdict.name()) {
            Some(waiter) => waiter.verdict.send(verdict),
            None => Err(verdict),
        }
    }

    /// A request that its own task gives up. `outcome`: the metric's label.
    pub fn remove(&mut self, id: RequestId, outcome: &'static str) {
        self.take(id, outcome);
    }

    /// From now on no request is held. Returns the requests that still are, oldest first.
    pub fn close(&mut self) -> Vec<RequestId> {
        self.closed = true;
        let mut ids: Vec<_> = self.by_id.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn held(&self) -> Held {
        Held { requests: self.by_id.len(), prompt_tokens: self.prompt_tokens }
    }

    fn take(&mut self, id: RequestId, outcome: &'static str) -> Option<Waiter> {
        let waiter = self.by_id.remove(&id)?;
        self.prompt_tokens -= u64::from(waiter.prompt_tokens);
        metrics::hold_ended(outcome, waiter.since.elapsed());
        Some(waiter)
    }
}
