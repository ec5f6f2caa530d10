//! What a router says of its decisions: those that it made, and those that it would make.

use super::Router;
use crate::id::RequestId;
use crate::request::Request;
use crate::routing::admission::{Admitted, Asked};
use crate::routing::decision::{Choice, RejectReason};
use crate::routing::decode::{self, Eligible};
use crate::routing::explain::{self, About, Explanation};
use crate::routing::policy::Hold;
use crate::routing::policy::hold::Verdict;
use crate::routing::view::{FleetView, Lookup};
use crate::time::{Duration, Instant};
use std::cell::RefCell;

impl Router {
    /// From now on keeps the explanations of the last `last` requests that were sent; 0 at first.
    pub fn keep_explanations(&mut self, last: usize) {
        self.kept.limit(last);
    }

    /// Why a request was sent where it was, while that is kept. None for a request that is held:
    /// [`Router::explain`] says what would be decided about it.
    pub fn explanation(&self, id: RequestId) -> Option<Explanation> {
        self.kept.get(id)
    }

    /// What would be decided about a new request at `now`. Nothing is booked and nothing changes.
    pub fn explain(
        &self,
        now: Instant,
        request: &Request,
        lookup: Lookup<'_>,
    ) -> Result<Explanation, RejectReason> {
        self.check_id(request.id)?;
        let mut eligible = Eligible::default();
        eligible.find(&self.fleet, request, now, self.retries.tried(request.id))?;
        let (scratch, notes) = (RefCell::default(), RefCell::default());
        let view = FleetView {
            eligible: &eligible.prefill,
            scratch: &scratch,
            notes: Some(&notes),
            ..self.view(now, lookup)
        };
        let mut choice = self.rule.choose(request, &view);
        let mut busy = Vec::new();
        if let (Some(admission), Choice::Send(decision)) = (self.admits(request), &mut choice) {
            let may_wait = self.queue.has_room_for(request);
            let asked = Asked { now, waited: Duration::ZERO, request, may_wait };
            match self.admit(admission, asked, decision, &view)? {
                Admitted::Send(closed) => busy = closed,
                Admitted::Wait(until) => choice = Choice::Hold { until },
            }
        }
        if let Choice::Send(decision) = &mut choice {
            let verdict = |hold: Hold| hold.judge(Duration::ZERO, request, decision, &view);
            match self.policy.hold().map(verdict) {
                Some(Verdict::Hold(until)) if self.queue.has_room_for(request) => {
                    choice = Choice::Hold { until };
                }
                Some(Verdict::Reject(reason)) => return Err(reason),
                Some(Verdict::Send | Verdict::Hold(_)) | None => {
                    decode::complete(decision, request, &view, &eligible.decode);
                }
            }
        }
        explain::fill(&mut notes.borrow_mut(), &view, &busy);
        let notes = notes.take();
        let about = self.about(now, Duration::ZERO, request);
        let tried = self.retries.tried(request.id);
        let left_out = explain::left_out(&self.fleet, now, tried, &busy);
        Ok(about.explanation(&choice, notes, left_out).sorted())
    }

    pub(super) fn about(&self, now: Instant, waited: Duration, request: &Request) -> About {
        let prompt_tokens = request.prompt.tokens();
        About { request: request.id, at: now, waited, policy: self.policy, prompt_tokens }
    }
}
