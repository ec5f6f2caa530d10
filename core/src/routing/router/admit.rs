//! Whether a request is taken on: sent to an open worker, held until one is open, or refused at once.

use super::{Asked, Router};
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::admission::{self, Admission, Gate};
use crate::routing::decision::{Choice, Decision, RejectReason};
use crate::routing::input::Action;
use crate::routing::observed::Observed;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use smallvec::SmallVec;
use std::cell::Cell;

impl Router {
    /// Admission, where this request is subject to it. What was taken on and failed on its worker is not
    /// refused for that.
    pub(super) fn admits(&self, request: &Request) -> Option<&Admission> {
        let admission = self.admission.as_deref()?;
        self.retries.tried(request.id).is_empty().then_some(admission)
    }

    /// Judges what the rule decided. Ok(None): `decision`, which may be another one now, is sent.
    /// Ok(Some): the request waits, until then at the latest.
    pub(super) fn admit(
        &self,
        admission: &Admission,
        asked: Asked<'_>,
        decision: &mut Decision,
        view: &FleetView<'_>,
    ) -> Result<Option<Instant>, RejectReason> {
        let Asked { now, waited, request, may_wait } = asked;
        let first =
            |decision: &Decision| admission.first_token(now, &self.fleet, request, decision);
        let mut gate = self.gate(admission, now, decision.worker);
        let mut expected = first(decision);
        if gate != Gate::Open
            && let Some(other) = self.choose_open(admission, asked, view)
        {
            // The longer it has waited for its best worker, the better the others become.
            let soon = first(&other);
            // What another worker computes again, it does not compute for those that wait.
            let work = |decision: &Decision| {
                let worker = view.worker(decision.worker).expect("a decision names a worker");
                admission::prefill(worker, request, decision)
            };
            let more = work(&other).saturating_sub(work(decision));
            if soon + more <= expected + waited || !may_wait {
                (*decision, expected, gate) = (other, soon, Gate::Open);
            }
        }
        let worker = view.worker(decision.worker).expect("a decision names a worker");
        let answers = (decision.worker, worker);
        let opens = match gate {
            Gate::Open => {
                // Refusing it would spare no other request anything, unless no client waits for it.
                admission.in_time(now, expected, request, answers)?;
                return Ok(None);
            }
            Gate::Closed(opens) => opens,
        };
        let work = admission::prefill(worker, request, decision);
        let wait = self.wait(admission, asked, work, view);
        let latest = admission.judge(now, (waited, expected, wait), request, answers)?;
        Ok(Some(opens.min(latest).max(now + admission::SOON)))
    }

    /// Judges a request that the rule itself holds until then. Ok: it waits, until then at the latest.
    pub(super) fn admit_held(
        &self,
        admission: &Admission,
        asked: Asked<'_>,
        until: Instant,
        view: &FleetView<'_>,
    ) -> Result<Instant, RejectReason> {
        let Asked { now, waited, request, .. } = asked;
        let Some((id, worker)) = view.workers().next() else { return Ok(until) };
        let work = admission::prefill(worker, request, &Decision::blind(id));
        let wait = self.wait(admission, asked, work, view);
        let latest = admission.judge(now, (waited, work, wait), request, (id, worker))?;
        Ok(until.min(latest).max(now + admission::SOON))
    }

    /// How long a request has to wait yet. What has waited is where the queue brought it; what arrives
    /// waits for those before it.
    fn wait(
        &self,
        admission: &Admission,
        asked: Asked<'_>,
        work: Duration,
        view: &FleetView<'_>,
    ) -> Duration {
        let Asked { now, waited, request, .. } = asked;
        if waited > Duration::ZERO {
            return Duration::ZERO;
        }
        let ahead = self.queue.ahead((request.priority, admission.place(request)));
        admission.wait(now, ahead, work, view.workers().len())
    }

    /// What the rule would choose among the open workers. None: none is open, or the rule waits.
    fn choose_open(
        &self,
        admission: &Admission,
        asked: Asked<'_>,
        view: &FleetView<'_>,
    ) -> Option<Decision> {
        let is_open = |id: &WorkerId| self.gate(admission, asked.now, *id) == Gate::Open;
        let open: SmallVec<[WorkerId; 64]> =
            view.workers().map(|(id, _)| id).filter(is_open).collect();
        if open.is_empty() {
            return None;
        }
        let view = FleetView { eligible: &open, looked: Cell::new(view.looked.get()), ..*view };
        match self.rule.choose(asked.request, &view) {
            Choice::Send(decision) => Some(decision),
            Choice::Hold { .. } => None,
        }
    }

    fn gate(&self, admission: &Admission, now: Instant, id: WorkerId) -> Gate {
        let Some(worker) = self.fleet.worker(id) else { return Gate::Open };
        let decoders = &self.eligible.decode;
        let splits = worker.info.role == crate::event::Role::Prefill;
        match splits && !admission.has_open_decoder(now, &self.fleet, decoders) {
            true => Gate::Closed(now + admission::RECHECK),
            false => admission.gate(now, id, worker),
        }
    }

    /// In a full queue, those who go after this request make room for it: a tenant that fills the queue
    /// does not shut out the others.
    pub(super) fn make_room(
        &mut self,
        now: Instant,
        request: &Request,
        place: Option<(i32, i64)>,
        out: &mut Vec<Action>,
    ) {
        let Some(place) = place.filter(|_| self.admission.is_some()) else { return };
        while !self.queue.has_room_for(request) {
            let full = self.queue.full_for(request);
            let Some(last) = self.queue.yield_last(place) else { return };
            let (id, reason) = (last.id, full);
            self.rule.observe(now, &Observed::Rejected { request: &last, reason });
            out.push(Action::Reject { id, reason });
        }
    }
}
