//! Asking the rule again about requests that are held.

use super::{Router, Step};
use crate::routing::admission;
use crate::routing::decision::RejectReason;
use crate::routing::input::Action;
use crate::routing::queue::Held;
use crate::routing::view::Lookup;
use crate::time::Instant;

impl Router {
    /// Asks the rule again about held requests: about all of them, or about those that are due.
    pub(super) fn review_queue(
        &mut self,
        now: Instant,
        all: bool,
        lookup: Lookup<'_>,
        out: &mut Vec<Action>,
    ) {
        // Where no worker is open, asking again changes nothing.
        let closed = |router: &Self| {
            let admission = router.admission.as_ref();
            admission.is_some_and(|admission| !admission.any_open(now, &router.fleet))
        };
        let mut all = all && !self.queue.is_empty() && !closed(self);
        if self.queue.is_empty() || !all && !self.queue.is_due(now) {
            return;
        }
        // The queue is away while its requests are decided about.
        let mut queue = core::mem::take(&mut self.queue);
        let by_admission = self.admission.as_ref().map(|_| admission::LOOK);
        let mut look =
            by_admission.or(self.policy.hold().map(|hold| hold.look)).unwrap_or(u32::MAX);
        let mut sent = 0;
        queue.review(now, |queue, held| {
            if (!all || look == 0) && !queue.is_request_due(held, now) {
                return Some(held.until);
            }
            let (id, request) = (held.request.id, &held.request);
            let action = match self.reconsider(now, held, lookup) {
                Ok(Step::Send(decision)) => {
                    sent += 1;
                    Action::Dispatch { id, decision }
                }
                Ok(Step::Hold { until, .. }) => match held.give_up(now, queue.limits()) {
                    Some(reason) => Action::Reject { id, reason },
                    None => {
                        look = look.saturating_sub(1);
                        return Some(until);
                    }
                },
                Err(reason) => Action::Reject { id, reason },
            };
            self.act(now, request, Some(held.place()), action, out);
            all = all && !closed(self);
            None
        });
        self.queue = queue;
        if let Some(admission) = &mut self.admission {
            admission.queue_moved(now, sent, self.queue.is_empty());
        }
    }

    fn reconsider(
        &mut self,
        now: Instant,
        held: &Held,
        lookup: Lookup<'_>,
    ) -> Result<Step, RejectReason> {
        let waited = held.waited(now);
        if held.is_past_deadline(now) {
            return Err(RejectReason::DeadlinePassed { waited });
        }
        // It has its room in the queue, which is away just now.
        self.choose(now, waited, &held.request, true, lookup)
    }
}
