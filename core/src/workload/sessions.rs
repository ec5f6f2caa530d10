//! Multi-turn sessions drawn from a seed: shared system prompts and texts, a growing history, and a
//! think time between an answer and the next message.

use super::drawn::{self, Drawn, MAX_TURNS, Text, Turn};
use super::phases::Phases;
use super::prompts::Deck;
use super::shared::Shelf;
use super::staged::{Course, StagePlan};
use crate::block::{ScopePlan, hash_segments};
use crate::id::{RequestId, SessionId, TenantId};
use crate::request::{TokenSource, Work};
use crate::rng::Rng;
use crate::sharing::{Requester, Scopes};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use super::arrivals::Arrivals;
pub use super::spec::{Amount, Branching, SessionsSpec, SpecError, ThinkFrom, WorkloadSpec};

/// A session that has started.
#[derive(Clone, Debug)]
struct Session {
    tenant: TenantId,
    drawn: Drawn,
    /// The number of answers that each turn still waits for.
    waits_for: Vec<u32>,
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
    live: BTreeMap<u64, Session>,
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
            live: BTreeMap::new(),
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
            Arc::new(hash_segments(&self.scopes.plan(whose, declared), segments))
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
        for waiter in session.drawn.turns[turn].waiters.clone() {
            // The last session may be cut, and then the turns after the cut do not exist.
            let Some(waits_for) = session.waits_for.get_mut(waiter as usize) else { break };
            *waits_for -= 1;
            if *waits_for == 0 {
                let think = session.drawn.turns[waiter as usize].think;
                let at = match self.spec.think_from {
                    ThinkFrom::Answer => now + think,
                    ThinkFrom::Message => now.max(session.sent + think),
                };
                self.armed.insert((at, index, waiter));
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
        let waits_for: Vec<u32> = drawn.turns.iter().map(|turn| turn.waits_for).collect();
        let first = (0..).zip(&waits_for).take_while(|&(_, &waits_for)| waits_for == 0);
        self.armed.extend(first.map(|(turn, _)| (at, index, turn)));
        let left = waits_for.len() as u32;
        let session = Session { tenant, drawn, waits_for, left, sent: Instant::START };
        self.live.insert(index, session);
    }
}

const fn whose(tenant: TenantId, session: u64, request: RequestId) -> Requester {
    Requester { tenant, session: Some(SessionId(session)), request }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{SharedTexts, TextsOf};
    use super::*;
    use crate::block::Chain;

    fn spec(arrivals: Arrivals) -> SessionsSpec {
        SessionsSpec {
            name: "test".into(),
            requests: 50,
            arrivals,
            system_prompts: 2,
            system_tokens: 100,
            turns: Amount { mean: 4.0, cv: 0.5 },
            branching: None,
            user_tokens: Amount { mean: 50.0, cv: 1.0 },
            output_tokens: Amount { mean: 20.0, cv: 0.5 },
            think_s: Amount { mean: 2.0, cv: 1.0 },
            think_from: ThinkFrom::Answer,
            max_context_tokens: 2_000,
        }
    }

    /// Answers each request `service` after its send. Returns (id, send time, prompt tokens, answer
    /// tokens).
    fn play(spec: &SessionsSpec, service: Duration) -> Vec<(RequestId, Instant, u32, u32)> {
        let scope = ScopePlan::new("", "", "", 16);
        let mut sessions = Sessions::new(spec, &scope, 7, 1.0, None);
        let mut seen = Vec::new();
        let mut ends: BTreeSet<(Instant, RequestId)> = BTreeSet::new();
        loop {
            let end = ends.first().copied();
            match (sessions.next_send(), end) {
                (Some(at), end) if end.is_none_or(|(ended, _)| at <= ended) => {
                    let work = sessions.send();
                    let request = &work.request;
                    seen.push((request.id, at, request.prompt.tokens(), work.output_tokens));
                    ends.insert((at + service, request.id));
                }
                (_, Some((ended, id))) => {
                    ends.pop_first();
                    sessions.on_ended(ended, id);
                }
                (_, None) => return seen,
            }
        }
    }

    #[test]
    fn requests_do_not_depend_on_the_service_time() {
        for arrivals in [
            Arrivals::Poisson { sessions_per_s: 2.0 },
            Arrivals::Gamma { sessions_per_s: 2.0, cv: 2.0 },
            Arrivals::Constant { sessions_per_s: 2.0 },
            Arrivals::Closed { sessions: 3 },
        ] {
            let spec = spec(arrivals);
            let mut fast = play(&spec, Duration::from_millis(1));
            let mut slow = play(&spec, Duration::from_millis(5_000));
            assert_eq!(fast.len(), 50);
            let bare = |all: &mut Vec<(RequestId, Instant, u32, u32)>| {
                all.sort_unstable();
                all.iter().map(|&(id, _, prompt, output)| (id, prompt, output)).collect::<Vec<_>>()
            };
            assert_eq!(bare(&mut fast), bare(&mut slow));
        }
    }

    #[test]
    fn a_turn_waits_for_the_answer_before_it() {
        let service = Duration::from_millis(700);
        let seen = play(&spec(Arrivals::Poisson { sessions_per_s: 5.0 }), service);
        let mut last: BTreeMap<u64, (u64, Instant, u32)> = BTreeMap::new();
        for (id, at, prompt, output) in seen {
            let (session, turn) = (id.0 / MAX_TURNS, id.0 % MAX_TURNS);
            if let Some((before, sent, context)) = last.insert(session, (turn, at, prompt + output))
            {
                assert_eq!(turn, before + 1);
                assert!(at >= sent + service, "{id} did not wait");
                assert!(prompt > context, "the history grows");
            }
        }
    }

    #[test]
    fn think_time_from_the_message_keeps_send_times_while_answers_are_fast() {
        let mut spec = spec(Arrivals::Poisson { sessions_per_s: 2.0 });
        spec.think_from = ThinkFrom::Message;
        spec.think_s = Amount { mean: 10.0, cv: 0.0 };
        let fast = play(&spec, Duration::from_millis(1));
        assert_eq!(fast, play(&spec, Duration::from_millis(9_000)));
        // An answer that takes longer than the think time delays the next message.
        let slow = play(&spec, Duration::from_millis(11_000));
        let second = |all: &[(RequestId, Instant, u32, u32)]| {
            all.iter().find(|(id, ..)| id.0 == 1).map(|&(_, at, ..)| at)
        };
        let late = second(&slow).zip(second(&fast)).map(|(slow, fast)| slow - fast);
        assert_eq!(late, Some(Duration::from_millis(1_000)));
    }

    #[test]
    fn the_branches_of_a_level_are_sent_together_and_end_it_together() {
        let mut spec = spec(Arrivals::Closed { sessions: 1 });
        spec.branching = Some(Branching { branches: 3, keep: 2, turns: 1 });
        spec.turns = Amount { mean: 3.0, cv: 0.0 };
        spec.think_s = Amount { mean: 2.0, cv: 0.0 };
        let seen = play(&spec, Duration::from_millis(500));
        assert_eq!(seen.len(), 50, "whole sessions of 15 requests and one that is cut");
        let at = |turn: u64| {
            let of_turn = seen.iter().find(|(id, ..)| id.0 == turn);
            of_turn.map(|&(_, at, ..)| at.as_secs_f64())
        };
        for (turn, expected) in [(0, 0.0), (2, 0.0), (3, 2.5), (8, 2.5), (9, 5.0), (14, 5.0)] {
            assert_eq!(at(turn), Some(expected), "turn {turn}");
        }
        assert_eq!((at(15), at(MAX_TURNS)), (None, Some(5.5)), "session 1 starts after session 0");
    }

    #[test]
    fn a_closed_loop_keeps_its_number_of_sessions() {
        let seen = play(&spec(Arrivals::Closed { sessions: 3 }), Duration::from_millis(10));
        let first =
            seen.iter().filter(|(id, at, ..)| *at == Instant::START && id.0 % MAX_TURNS == 0);
        assert_eq!(first.count(), 3);
    }

    #[test]
    fn shared_texts_change_no_other_draw() {
        let plain = spec(Arrivals::Poisson { sessions_per_s: 2.0 });
        let scope = ScopePlan::new("", "", "", 16);
        let tokens = Amount { mean: 200.0, cv: 0.0 };
        let texts = SharedTexts { count: 3, tokens, zipf: 1.0, of: TextsOf::Tenant };
        let with = WorkloadSpec {
            sessions: SessionsSpec { max_context_tokens: 2_400, ..plain.clone() },
            team_prefixes: Some(texts),
            documents: Some(texts),
            tenants: 1,
            tenant_zipf: 0.0,
            stages: Vec::new(),
            prompts: None,
        };
        let mut bare = Sessions::new(&plain, &scope, 7, 1.0, None);
        let mut shared = Sessions::with_shared_texts(&with, &Scopes::from(&scope), 7, 1.0, None);
        let mut chains = Vec::new();
        while let Some(at) = bare.next_send() {
            assert_eq!(shared.next_send(), Some(at));
            let (a, b) = (bare.send(), shared.send());
            assert_eq!(a.request.id, b.request.id);
            assert_eq!(a.request.prompt.tokens() + 400, b.request.prompt.tokens());
            assert_eq!(a.output_tokens, b.output_tokens);
            chains.push(b.request.prompt.chain().clone());
            bare.on_ended(at, a.request.id);
            shared.on_ended(at, a.request.id);
        }
        // System prompt, team prefix and document have 500 tokens and 18 combinations.
        let document = |chain: &Arc<Chain>| chain.hash(30);
        let different: BTreeSet<_> = chains.iter().map(document).collect();
        assert!((4..=18).contains(&different.len()), "{}", different.len());
    }
}
