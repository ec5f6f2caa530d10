//! Whether a request is taken on: sent to an open worker, held until one is open, or refused at once.

use super::Router;
use crate::event::Role;
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::admission::{self, Admission, Admitted, Asked, Gate};
use crate::routing::decision::{Choice, Decision, RejectReason};
use crate::routing::input::Action;
use crate::routing::observed::Observed;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use std::cell::{Cell, RefCell};

impl Router {
    /// Admission, where this request is subject to it. What was taken on and failed on its worker is not
    /// refused for that.
    pub(super) fn admits(&self, request: &Request) -> Option<&Admission> {
        let admission = self.admission.as_deref()?;
        self.retries.tried(request.id).is_empty().then_some(admission)
    }

    /// Judges what the rule decided. `decision` may be another one afterwards.
    pub(super) fn admit(
        &self,
        admission: &Admission,
        asked: Asked<'_>,
        decision: &mut Decision,
        view: &FleetView<'_>,
    ) -> Result<Admitted, RejectReason> {
        let Asked { now, waited, request, may_wait } = asked;
        let state = |decision: &Decision| {
            (decision.worker, view.worker(decision.worker).expect("a decision names a worker"))
        };
        let first =
            |decision: &Decision| admission.first_token(now, &self.fleet, request, decision);
        let gate = self.gate(admission, now, decision.worker);
        let expected = first(decision);
        let Gate::Closed(opens) = gate else {
            // Refusing it would spare no other request anything, unless no client waits for it.
            admission.in_time(now, expected, request, state(decision))?;
            return Ok(Admitted::Send(Vec::new()));
        };
        let work = state(decision).1.prefill(request, decision);
        // The longer it has waited for its best worker, the better the others become. What another worker
        // computes again, it does not compute for those that wait.
        let is_better = |other: &Decision| {
            let more = state(other).1.prefill(request, other).saturating_sub(work);
            first(other) + more <= expected + waited || !may_wait
        };
        if let Some((other, closed)) = self.choose_open(admission, asked, view, is_better) {
            admission.in_time(now, first(&other), request, state(&other))?;
            *decision = other;
            return Ok(Admitted::Send(closed));
        }
        let wait = self.wait(admission, asked, work, view);
        let latest = admission.judge(now, (waited, expected, wait), request, state(decision))?;
        Ok(Admitted::Wait(opens.min(latest).max(now + admission::SOON)))
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
        let work = worker.prefill(request, &Decision::blind(id));
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

    /// What the rule chooses among the open workers, if that is better than to wait, and the workers that
    /// are closed. The rule's notes are then those about the open ones.
    fn choose_open(
        &self,
        admission: &Admission,
        asked: Asked<'_>,
        view: &FleetView<'_>,
        is_better: impl Fn(&Decision) -> bool,
    ) -> Option<(Decision, Vec<WorkerId>)> {
        let is_open = |id: &WorkerId| self.gate(admission, asked.now, *id) == Gate::Open;
        let (open, closed): (Vec<_>, Vec<_>) = view.workers().map(|(id, _)| id).partition(is_open);
        if open.is_empty() {
            return None;
        }
        let before = view.notes.map(RefCell::take);
        let view = FleetView { eligible: &open, looked: Cell::new(view.looked.get()), ..*view };
        match self.rule.choose(asked.request, &view) {
            Choice::Send(decision) if is_better(&decision) => Some((decision, closed)),
            Choice::Send(_) | Choice::Hold { .. } => {
                if let (Some(notes), Some(before)) = (view.notes, before) {
                    notes.replace(before);
                }
                None
            }
        }
    }

    fn gate(&self, admission: &Admission, now: Instant, id: WorkerId) -> Gate {
        let Some(worker) = self.fleet.worker(id) else { return Gate::Open };
        let decoders = &self.eligible.decode;
        let splits = worker.info.role == Role::Prefill;
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
