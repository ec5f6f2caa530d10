//! The requests that the core router holds, and the tasks that wait for its decision about each.

use crate::metrics;
use std::collections::HashMap;
use std::time::Instant;
use tokio::sync::oneshot;
use warmpath_core::id::RequestId;
use warmpath_core::routing::input::{Decision, RejectReason};
use warmpath_proto::clock::{now, since};

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
        let waiting = Waiter { verdict, since: now(), prompt_tokens };
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
        metrics::hold_ended(outcome, since(waiter.since));
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_core::id::WorkerId;

    fn sent(worker: u32) -> Verdict {
        Verdict::Dispatch(Decision::blind(WorkerId(worker)))
    }

    #[test]
    fn each_verdict_reaches_the_task_that_waits_for_it() {
        let mut waiting = Waiting::default();
        let [mut first, mut second] = [1, 2].map(|id| waiting.add(RequestId(id), 100 * id as u32));
        assert_eq!(waiting.held(), Held { requests: 2, prompt_tokens: 300 });
        waiting.deliver(RequestId(2), sent(7));
        assert_eq!(waiting.held(), Held { requests: 1, prompt_tokens: 100 });
        assert_eq!((first.try_recv().ok(), second.try_recv().ok()), (None, Some(sent(7))));
        waiting.settle(RequestId(1), Verdict::Aborted).expect("it is held");
        assert_eq!(first.try_recv().ok(), Some(Verdict::Aborted));
        assert_eq!(waiting.settle(RequestId(1), sent(3)), Err(sent(3)), "it is held no more");
        assert_eq!(waiting.held(), Held::default());
    }

    #[test]
    #[should_panic(expected = "no task waits")]
    fn an_action_that_no_task_waits_for_is_seen() {
        Waiting::default().deliver(RequestId(1), sent(0));
    }

    #[test]
    #[should_panic(expected = "no task waits")]
    fn an_action_for_a_task_that_is_gone_is_seen() {
        let mut waiting = Waiting::default();
        drop(waiting.add(RequestId(1), 1));
        waiting.deliver(RequestId(1), sent(0));
    }

    #[test]
    fn a_closed_queue_names_its_requests_in_order() {
        let mut waiting = Waiting::default();
        let _receivers = [5, 3, 4].map(|id| waiting.add(RequestId(id), 1));
        assert!(!waiting.is_closed());
        assert_eq!(waiting.close(), [3, 4, 5].map(RequestId));
        assert!(waiting.is_closed());
    }
}
