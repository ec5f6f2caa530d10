//! What the sessions of each worker would need to find all of their KV again.

use crate::hash::Map;
use crate::id::{SessionId, SourceId, WorkerId};
use crate::routing::observed::Observed;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};

/// The sessions that sent a request lately: where to, and how long its prompt was.
#[derive(Debug)]
pub struct WorkingSet {
    keep: Duration,
    stays: Map<SessionId, Stay>,
    /// Every request by its number, oldest first. Only a session's latest one counts.
    order: VecDeque<(u64, SessionId)>,
    noted: u64,
    tokens: BTreeMap<WorkerId, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Stay {
    number: u64,
    at: Instant,
    worker: WorkerId,
    tokens: u32,
}

impl WorkingSet {
    /// Sessions are forgotten when they send nothing for `keep`.
    pub fn new(keep: Duration) -> Self {
        let (stays, order, tokens) = (Map::default(), VecDeque::new(), BTreeMap::new());
        Self { keep, stays, order, noted: 0, tokens }
    }

    /// Learns from what happened. A rule calls it with each thing that it observes.
    pub fn observe(&mut self, now: Instant, what: &Observed<'_>) {
        match *what {
            Observed::Dispatched { request, decision } => {
                self.expire(now);
                if let Some(session) = request.session {
                    self.note(now, session, decision.worker, request.prompt.tokens());
                }
            }
            Observed::Lost(SourceId::Worker(worker)) => self.forget(worker),
            Observed::Joined(info) => self.forget(info.worker),
            _ => {}
        }
    }

    /// Prompt tokens of the sessions that sent their last request to a worker.
    pub fn tokens(&self, worker: WorkerId) -> u64 {
        self.tokens.get(&worker).copied().unwrap_or(0)
    }

    /// Where a session sent its last request, and the tokens of its prompt.
    pub fn last(&self, session: SessionId) -> Option<(WorkerId, u32)> {
        self.stays.get(&session).map(|stay| (stay.worker, stay.tokens))
    }

    fn note(&mut self, at: Instant, session: SessionId, worker: WorkerId, tokens: u32) {
        self.noted += 1;
        let stay = Stay { number: self.noted, at, worker, tokens };
        if let Some(before) = self.stays.insert(session, stay) {
            self.leave(before);
        }
        *self.tokens.entry(worker).or_default() += u64::from(tokens);
        self.order.push_back((self.noted, session));
        if self.order.len() > 64.max(2 * self.stays.len()) {
            let Self { stays, order, .. } = self;
            order.retain(|(number, session)| {
                stays.get(session).is_some_and(|s| s.number == *number)
            });
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(number, session)) = self.order.front() {
            let latest = self.stays.get(&session).copied().filter(|stay| stay.number == number);
            match latest {
                Some(stay) if now.since(stay.at) < self.keep => return,
                Some(stay) => {
                    self.stays.remove(&session);
                    self.leave(stay);
                }
                None => {}
            }
            self.order.pop_front();
        }
    }

    fn leave(&mut self, stay: Stay) {
        if let Some(tokens) = self.tokens.get_mut(&stay.worker) {
            *tokens -= u64::from(stay.tokens);
        }
    }

    fn forget(&mut self, lost: WorkerId) {
        let Self { stays, order, .. } = self;
        order.retain(|(_, session)| {
            let gone = stays.get(session).is_none_or(|stay| stay.worker == lost);
            if gone {
                stays.remove(session);
            }
            !gone
        });
        self.tokens.remove(&lost);
    }
}
