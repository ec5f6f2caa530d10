//! A session goes to the worker that served it last, since that one has the session's KV cached.
//!
//! Session-affinity computes a session's worker from a hash. This rule remembers the worker of the
//! last request instead, so a session stays where it was even when the fleet changes.

use super::naive::least_loaded;
use super::parameter::parameters;
use super::rule::Policy;
use crate::hash::Map;
use crate::id::{SessionId, SourceId, WorkerId};
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

parameters! {
    /// A session goes to the worker that served it last, others to the least loaded.
    pub struct StickySession {
        /// A session without a request for this time is forgotten.
        ttl_s: f64 = 600.0, 0.001..=1_000_000_000.0, "s";
        /// At most this many sessions are remembered; the one that was idle longest is forgotten
        /// first.
        capacity: u32 = 65_536, 1..=16_777_216, "sessions";
    }
}

impl Policy for StickySession {
    const NAME: &'static str = "sticky-session";
    const RULE: &'static str =
        "A session goes to the worker that served it last; others to the least loaded.";

    type Memory = Sessions;

    fn memory(&self) -> Sessions {
        Sessions::default()
    }

    fn observe(&self, sessions: &mut Sessions, now: Instant, what: &Observed<'_>) {
        match *what {
            Observed::Dispatched { request: &Request { session: Some(session), .. }, decision } => {
                sessions.expire(now, self.ttl());
                sessions.set(now, session, decision.worker);
                sessions.shrink_to(self.capacity as usize);
            }
            Observed::Lost(SourceId::Worker(worker)) => sessions.forget(worker),
            // It comes back with nothing cached.
            Observed::Joined(info) => sessions.forget(info.worker),
            _ => {}
        }
    }

    fn choose(&self, sessions: &Sessions, request: &Request, view: &FleetView<'_>) -> Choice {
        let last =
            request.session.and_then(|session| sessions.get(view.now(), self.ttl(), session));
        let may_serve = |&last: &WorkerId| view.workers().any(|(worker, _)| worker == last);
        let last = last.filter(may_serve);
        view.note_because(match last {
            Some(_) => "the worker of the session's last request",
            None => "no worker of the session is known or free: the fewest active requests",
        });
        let worker = last.unwrap_or_else(|| least_loaded(request, view).0);
        Decision::blind(worker).into()
    }
}

impl StickySession {
    fn ttl(&self) -> Duration {
        Duration::from_secs_f64(self.ttl_s)
    }
}

/// Which worker served a session last, and when.
#[derive(Default, Debug)]
pub struct Sessions {
    last: Map<SessionId, Last>,
    /// Every request that was noted, by its number, oldest first. Only a session's latest one counts.
    /// Those before it are dropped when they come to the front, or all at once when they are the
    /// larger part.
    order: VecDeque<(u64, SessionId)>,
    noted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    /// The request's number among those that were noted.
    number: u64,
    at: Instant,
    worker: WorkerId,
}

impl Sessions {
    fn get(&self, now: Instant, ttl: Duration, session: SessionId) -> Option<WorkerId> {
        let last = self.last.get(&session)?;
        (now.since(last.at) < ttl).then_some(last.worker)
    }

    fn set(&mut self, at: Instant, session: SessionId, worker: WorkerId) {
        self.noted += 1;
        self.last.insert(session, Last { number: self.noted, at, worker });
        self.order.push_back((self.noted, session));
        if self.order.len() > 64.max(2 * self.last.len()) {
            let Self { last, order, .. } = self;
            order.retain(|&(number, session)| {
                last.get(&session).is_some_and(|l| l.number == number)
            });
        }
    }

    fn expire(&mut self, now: Instant, ttl: Duration) {
        while let Some(&(number, session)) = self.order.front() {
            let latest = self.last.get(&session).filter(|last| last.number == number);
            if latest.is_some_and(|last| now.since(last.at) < ttl) {
                break;
            }
            self.drop_first();
        }
    }

    fn shrink_to(&mut self, capacity: usize) {
        while self.last.len() > capacity {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((number, session)) = self.order.pop_front()
            && self.last.get(&session).is_some_and(|last| last.number == number)
        {
            self.last.remove(&session);
        }
    }

    fn forget(&mut self, lost: WorkerId) {
        let Self { last, order, .. } = self;
        order.retain(|(_, session)| {
            let gone = last.get(session).is_none_or(|last| last.worker == lost);
            if gone {
                last.remove(session);
            }
            !gone
        });
    }
}
