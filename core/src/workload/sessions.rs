//! Multi-turn sessions drawn from a seed: shared system prompts and texts, a growing history, and a
//! think time between an answer and the next message.

use super::drawn::{self, Drawn, MAX_TURNS, Text, Turn};
use super::phases::Phases;
use super::prompts::Deck;
use super::shared::Shelf;
use super::staged::{Course, StagePlan};
use crate::block::{ScopePlan, hash_segments};
use crate::hash::Map;
use crate::id::{RequestId, SessionId, TenantId};
use crate::request::{TokenSource, Work};
use crate::rng::Rng;
use crate::sharing::{Requester, Scopes};
use crate::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::sync::Arc;

pub use super::arrivals::Arrivals;
pub use super::spec::{Amount, Branching, SessionsSpec, SpecError, ThinkFrom, WorkloadSpec};

/// A session that has started.
#[derive(Clone, Debug)]
struct Session {
    tenant: TenantId,
    /// Its turns wait for fewer answers as these come.
    drawn: Drawn,
    /// Turns that have not ended.
    left: u32,
    /// When the last turn was to be sent.
    sent: Instant,
}

/// The sessions of one run.
#[derive(Clone, Debug)]
pub struct Sessions {
    spec: Arc<SessionsSpec>,
    shelves: Vec<Shelf>,
    scopes: Scopes,
    seed: u64,
    rate_scale: f64,
    total: u64,
    /// Requests of the sessions that have started.
    begun: u64,
    next_session: u64,
    starts: Rng,
    /// The stages, in place of the arrivals.
    plan: Option<StagePlan>,
    /// Where the run is in them.
    course: Option<Box<Course>>,
    /// The prompts, in place of drawn sessions.
    deck: Option<Box<Deck>>,
    /// When the arrivals come, of a run in phases, and how far the workload's own time is.
    phases: Option<(Phases, f64)>,
    next_start: Option<Instant>,
    /// The sessions that have not ended.
    live: Map<u64, Box<Session>>,
    /// The turns that wait for their time only: (time, session, turn).
    armed: BTreeSet<(Instant, u64, u32)>,
}

impl Sessions {
    /// Sessions of one tenant without shared texts. `limit` is the largest number of
    /// requests. `rate_scale` multiplies the arrival rate of an open loop.
    pub fn new(
        spec: &SessionsSpec,
        scope: &ScopePlan,
        seed: u64,
        rate_scale: f64,
        limit: Option<u64>,
    ) -> Self {
        let plain = WorkloadSpec {
            sessions: spec.clone(),
            team_prefixes: None,
            documents: None,
            tenants: 1,
            tenant_zipf: 0.0,
            stages: Vec::new(),
            prompts: None,
        };
        Self::with_shared_texts(&plain, &Scopes::from(scope), seed, rate_scale, limit)
    }

    /// The same as [`Self::new`] with the shared texts of `spec` and the tenants of `scopes`. Both
    /// have the same turns for the same seed.
    pub fn with_shared_texts(
        spec: &WorkloadSpec,
        scopes: &Scopes,
        seed: u64,
        rate_scale: f64,
        limit: Option<u64>,
    ) -> Self {
        let shelf = |(kind, texts)| Shelf::new(texts, seed, kind);
        let shelves: Vec<Shelf> = (0..).zip(spec.shared()).map(shelf).collect();
        let deck = spec.prompts.map(|set| Box::new(Deck::new(set, seed)));
        let plan = (!spec.stages.is_empty()).then(|| StagePlan::new(&spec.stages, rate_scale));
        let spec = Arc::new(spec.sessions.clone());
        let requests = match &plan {
            None => spec.requests,
            Some(plan) if deck.is_some() => plan.sessions(),
            Some(plan) => {
                let turns = |index| {
                    let of = (scopes.tenants().deal(&[seed, index]), index);
                    drawn::turns(&spec, &shelves, seed, of)
                };
                (0..plan.sessions()).map(turns).sum()
            }
        };
        let course = plan.clone().map(|plan| Box::new(Course::new(plan, seed)));
        let total = requests.min(limit.unwrap_or(u64::MAX));
        let mut sessions = Self {
            spec,
            shelves,
            scopes: scopes.clone(),
            seed,
            rate_scale,
            total,
            begun: 0,
            next_session: 0,
            starts: Rng::named(seed, &[0x5354_4152]),
            plan,
            course,
            deck,
            phases: None,
            next_start: None,
            live: Map::default(),
            armed: BTreeSet::new(),
        };
        match sessions.spec.arrivals {
            Arrivals::Closed { sessions: count } => {
                for _ in 0..u64::from(count).min(total) {
                    sessions.begin(Instant::START);
                }
            }
            _ => sessions.draw_start(Instant::START),
        }
        sessions
    }

    /// The same arrivals at the rates of these phases, from their start to their end. Only for an open
    /// loop that has sent nothing.
    #[must_use]
    pub(super) fn in_phases(mut self, phases: &Phases, limit: Option<u64>) -> Self {
        assert!(self.next_session == 0 && self.course.is_none(), "it has begun, or has stages");
        self.starts = Rng::named(self.seed, &[0x5354_4152]);
        self.phases = Some((phases.clone(), 0.0));
        self.total = u64::MAX;
        let mut drawing = self.clone();
        let mut all = 0;
        drawing.draw_start(Instant::START);
        for index in 0.. {
            if drawing.next_start.is_none() || limit.is_some_and(|limit| all >= limit) {
                break;
            }
            all += match &self.deck {
                Some(_) => 1,
                None => {
                    let of = (self.scopes.tenants().deal(&[self.seed, index]), index);
                    drawn::turns(&self.spec, &self.shelves, self.seed, of)
                }
            };
            drawing.draw_start(Instant::START);
        }
        self.total = all.min(limit.unwrap_or(u64::MAX));
        self.draw_start(Instant::START);
        self
    }

    /// The number of requests of the run.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// When the next request is to be sent. None: all are sent, or the next waits for an answer.
    pub fn next_send(&self) -> Option<Instant> {
        let armed = self.armed.first().map(|&(at, ..)| at);
        match (armed, self.next_start) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes the next request. Panics if none is due.
    pub fn send(&mut self) -> Work {
        if let Some(start) = self.next_start
            && self.armed.first().is_none_or(|&(at, ..)| start < at)
        {
            self.begin(start);
            if let Some(course) = &mut self.course {
                course.begun();
            }
            self.draw_start(start);
        }
        let (at, index, number) = self.armed.pop_first().expect("a turn is due");
        let session = self.live.get_mut(&index).expect("the session has not ended");
        session.sent = at;
        let tenant = session.tenant;
        let turn @ &Turn { prompt, known, output, .. } = &session.drawn.turns[number as usize];
        let Text { chain, segments } = session.drawn.text(turn);
        let id = RequestId(index * MAX_TURNS + u64::from(number));
        let text = TokenSource::new(Arc::clone(segments));
        let declared = self.spec.system_tokens;
        let alone = self.scopes.is_per_request().then(|| {
            let whose = whose(tenant, index, id);
            hash_segments(&self.scopes.plan(whose, declared), segments)
        });
        let chain = alone.as_ref().unwrap_or(chain);
        let known = self.scopes.known(known, declared);
        let session = Some(SessionId(index));
        Work::new(id, session, chain, (prompt, output), text).of(tenant, known)
    }

    /// A request that was sent has ended, answered or failed. Panics if it has ended before.
    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        let (index, turn) = (id.0 / MAX_TURNS, (id.0 % MAX_TURNS) as usize);
        let session = self.live.get_mut(&index).expect("the session has not ended");
        for number in session.drawn.turns[turn].waiters.clone() {
            // The last session may be cut, and then the turns after the cut do not exist.
            let Some(waiter) = session.drawn.turns.get_mut(number as usize) else { break };
            waiter.waits_for -= 1;
            if waiter.waits_for == 0 {
                let at = match self.spec.think_from {
                    ThinkFrom::Answer => now + waiter.think,
                    ThinkFrom::Message => now.max(session.sent + waiter.think),
                };
                self.armed.insert((at, index, number));
            }
        }
        session.left -= 1;
        if session.left == 0 {
            self.live.remove(&index);
            if let Some(course) = &mut self.course {
                course.ended(now);
                self.draw_start(now);
            } else if matches!(self.spec.arrivals, Arrivals::Closed { .. }) {
                self.begin(now);
            }
        }
    }

    fn draw_start(&mut self, after: Instant) {
        if let Some(course) = &self.course {
            self.next_start = course.next().filter(|_| self.begun < self.total);
            return;
        }
        let Some((gaps, sessions_per_s)) = self.spec.arrivals.open() else { return };
        let gap = gaps.draw(1.0 / (sessions_per_s * self.rate_scale), &mut self.starts);
        let at = match &mut self.phases {
            None => Some(after + Duration::from_secs_f64(gap)),
            Some((phases, own_s)) => {
                *own_s += gap;
                phases.when(*own_s)
            }
        };
        self.next_start = at.filter(|_| self.begun < self.total);
    }

    fn begin(&mut self, at: Instant) {
        if self.begun == self.total {
            return;
        }
        let index = self.next_session;
        self.next_session += 1;
        let tenant = self.scopes.tenants().deal(&[self.seed, index]);
        let whose = whose(tenant, index, RequestId(index * MAX_TURNS));
        let scope = self.scopes.plan(whose, self.spec.system_tokens);
        let of = (tenant, index);
        let mut drawn = match &mut self.deck {
            None => drawn::draw(&self.spec, &self.shelves, &scope, self.seed, of),
            Some(deck) => {
                let place = match self.plan.as_ref().filter(|_| deck.restarts()) {
                    Some(plan) => plan.place(index),
                    None => index,
                };
                drawn::draw_prompt(&self.spec, &scope, self.seed, deck.at(place))
            }
        };
        drawn.turns.truncate((self.total - self.begun).min(MAX_TURNS) as usize);
        self.begun += drawn.turns.len() as u64;
        let first = (0..).zip(&drawn.turns).take_while(|&(_, turn)| turn.waits_for == 0);
        self.armed.extend(first.map(|(turn, _)| (at, index, turn)));
        let left = drawn.turns.len() as u32;
        let session = Session { tenant, drawn, left, sent: Instant::START };
        self.live.insert(index, Box::new(session));
    }
}

const fn whose(tenant: TenantId, session: u64, request: RequestId) -> Requester {
    Requester { tenant, session: Some(SessionId(session)), request }
}

#[cfg(test)]
mod tests;
