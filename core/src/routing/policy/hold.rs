//! Late binding: a request waits in the router until a worker can begin with it soon. A request that
//! is sent is bound to its worker, also when another becomes free earlier; one that waits here is not.
//!
//! Any rule can be followed with it: `lpwl+hold`, `dynamo+hold(order=wspt,batches=1,open=any)`. The
//! rule chooses a worker as ever. While that worker has much to do, the request waits, and the rule is
//! asked again whenever something may have changed.
//!
//! Orders of the queue: `aged` is DualMap's idea of hits first, bounded by age (first what arrived
//! first, each request set back by a multiple of the time it takes to compute); `wspt`, `fcfs` and
//! `lcfs` are those of Dynamo 1.6.1 (`dynamo-kv-router/src/scheduling/policy.rs`).

use super::catalogue::ParameterInfo;
use super::parameter::{choices, parameters};
use super::spelling::{self, PolicyError};
use crate::request::Request;
use crate::routing::decision::{Decision, RejectReason};
use crate::routing::fleet::WorkerState;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};

parameters! {
    /// Late binding: requests wait in the router until a worker has little to do.
    pub struct Hold {
        /// A worker is open while it has at most this much predicted prefill work.
        backlog_s: f64 = 0.5, 0.0..=3_600.0, "s";
        /// In place of backlog_s: a worker is open while its queued prompt tokens are at most this
        /// multiple of the tokens of a step. 0: backlog_s decides.
        batches: f64 = 0.0, 0.0..=1_000.0, "steps";
        /// Which worker must be open: the chosen one, or any.
        open: Open = Open::Chosen, (), "";
        /// Which request goes first, among those of the same priority.
        order: Order = Order::Aged, (), "";
        /// For order=aged: by how many times its prefill time a request is set back.
        aging: f64 = 5.0, 0.0..=1_000.0, "x";
        /// How many requests are looked at, from the first of the queue on.
        look: u32 = 24, 1..=65_536, "requests";
        /// A request that has waited this long is sent to the rule's choice.
        longest_s: f64 = 30.0, 0.001..=3_600.0, "s";
        /// A request whose predicted time to the first token is longer is rejected. 0: none is.
        slo_s: f64 = 0.0, 0.0..=3_600.0, "s";
    }
}

choices! {
    /// Which worker must be open.
    pub enum Open {
        /// The one that the rule chose.
        Chosen = "chosen",
        /// Any that may serve the request.
        Any = "any",
    }
}

choices! {
    /// Which request goes first.
    pub enum Order {
        /// By arrival, set back by a multiple of the prefill time.
        Aged = "aged",
        /// First come, first served.
        Fcfs = "fcfs",
        /// Last come, first served.
        Lcfs = "lcfs",
        /// The most cached blocks.
        Hit = "hit",
        /// The fewest tokens to compute.
        Wspt = "wspt",
        /// The earliest deadline; those without one last.
        Deadline = "deadline",
    }
}

/// What becomes of a request that the rule would send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::routing) enum Verdict {
    Send,
    /// It is looked at again at this time, if nothing changes before.
    Hold(Instant),
    Reject(RejectReason),
}

impl Hold {
    /// The name in a spelling.
    pub const NAME: &'static str = "hold";

    /// What a person is told about its parameters.
    pub fn catalogue() -> Vec<ParameterInfo> {
        ParameterInfo::all::<Self>()
    }

    /// Reads the part of a spelling after the `+`; `given` is all of it.
    pub(super) fn read(given: &str, part: &str) -> Result<Self, PolicyError> {
        let (name, parameters) = spelling::split(part)?;
        if name != Self::NAME {
            let (given, part) = (given.trim().to_owned(), name.to_owned());
            return Err(PolicyError::UnknownPart { given, part });
        }
        Self::with(parameters)
    }

    /// With these parameters; the others have their defaults.
    pub fn with(
        parameters: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
    ) -> Result<Self, PolicyError> {
        spelling::build(Self::NAME, parameters)
    }

    /// What becomes of a request that has `waited` and that the rule would send.
    pub(in crate::routing) fn judge(
        &self,
        waited: Duration,
        request: &Request,
        decision: &Decision,
        view: &FleetView<'_>,
    ) -> Verdict {
        let worker = view.worker(decision.worker).expect("a decision names a worker");
        if self.slo_s > 0.0 {
            let predicted = waited + worker.backlog(view.now()) + worker.prefill(request, decision);
            let slo = Duration::from_secs_f64(self.slo_s);
            if predicted > slo {
                return Verdict::Reject(RejectReason::OverSlo { predicted, slo });
            }
        }
        let longest = Duration::from_secs_f64(self.longest_s);
        if waited >= longest {
            return Verdict::Send;
        }
        let last = view.now() + longest.saturating_sub(waited);
        let closed_until = match self.open {
            Open::Chosen => self.closed_until(worker, view.now(), last),
            // None, an open worker, is less than any instant.
            Open::Any => {
                let each = view.workers().map(|(_, w)| self.closed_until(w, view.now(), last));
                each.min().flatten()
            }
        };
        closed_until.map_or(Verdict::Send, |until| Verdict::Hold(until.min(last)))
    }

    /// When a worker may be open, by what is known now; None: it is open.
    fn closed_until(
        &self,
        worker: WorkerState<'_>,
        now: Instant,
        last: Instant,
    ) -> Option<Instant> {
        if self.batches > 0.0 {
            let most = self.batches * f64::from(worker.alike().prefill.chunk_tokens);
            return (worker.queued_tokens() as f64 > most).then_some(last);
        }
        if worker.active() >= worker.alike().max_num_seqs {
            return Some(last);
        }
        let most = Duration::from_secs_f64(self.backlog_s);
        let over = worker.backlog(now).saturating_sub(most);
        (over > Duration::ZERO).then(|| now + over)
    }

    /// The place of a request in the queue, among those of the same priority; the least goes first.
    pub(in crate::routing) fn place(
        &self,
        arrived: Instant,
        request: &Request,
        decision: &Decision,
        view: &FleetView<'_>,
    ) -> i64 {
        let worker = view.worker(decision.worker).expect("a decision names a worker");
        match self.order {
            Order::Fcfs => in_order(arrived),
            Order::Lcfs => -in_order(arrived),
            Order::Hit => -i64::from(decision.covered()),
            Order::Wspt => i64::from(worker.new_tokens(request, decision)),
            Order::Deadline => request.deadline.map_or(i64::MAX, in_order),
            Order::Aged => {
                let work = worker.prefill(request, decision).as_nanos() as f64;
                in_order(arrived + Duration::from_nanos_f64(work * self.aging))
            }
        }
    }
}

/// An instant as a place in the queue.
pub(in crate::routing) fn in_order(at: Instant) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}
