//! Multi-turn sessions drawn from a seed: a system prompt that many share, a history that grows,
//! time to think between an answer and the next message.

use crate::block::{Chain, ScopePlan, TokenBlocks, hash_segments};
use crate::id::{RequestId, SessionId, TenantId};
use crate::request::{Request, TokenSource, Work};
use crate::rng::{Rng, hash_words};
use crate::time::{Duration, Instant};
use crate::tokens::Segment;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// More turns than any session has; a request's id is its session times this plus its turn.
const MAX_TURNS: u64 = 1 << 16;

/// A kind of session. Lengths are in tokens, times in seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsSpec {
    pub name: String,
    /// How many requests in all; the last session is cut to fit.
    pub requests: u64,
    pub arrivals: Arrivals,
    /// Different system prompts; each session has one of them.
    pub system_prompts: u64,
    pub system_tokens: u32,
    pub turns: Amount,
    /// What the user, or a tool for it, adds in a turn.
    pub user_tokens: Amount,
    pub output_tokens: Amount,
    /// From the end of an answer to the next message. Exponential if `cv` is 1.
    pub think_s: Amount,
    /// A session ends before a prompt and its answer would pass this.
    pub max_context_tokens: u32,
}

/// How sessions come.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Open loop: a new session with exponential gaps, whether or not the others are served.
    Poisson { sessions_per_s: f64 },
    /// Closed loop: so many at a time; when one ends the next begins.
    Closed { sessions: u32 },
}

/// A log-normal amount.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    pub mean: f64,
    /// Standard deviation over mean; 0 makes it constant.
    pub cv: f64,
}

impl Amount {
    fn draw(&self, rng: &mut Rng) -> f64 {
        if self.cv == 0.0 { self.mean } else { rng.lognormal(self.mean, self.cv) }
    }

    fn draw_count(&self, rng: &mut Rng) -> u32 {
        // A draw beyond 2^31 is cut by `max_context_tokens` anyway.
        libm::round(self.draw(rng)).clamp(1.0, f64::from(i32::MAX)) as u32
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct SpecError {
    pub field: &'static str,
    pub why: String,
}

impl SessionsSpec {
    pub fn check(&self) -> Result<(), SpecError> {
        let err = |field, why: String| Err(SpecError { field, why });
        if !(1..=100_000_000).contains(&self.requests) {
            return err("requests", format!("{}, expected 1 to 100000000", self.requests));
        }
        let rate_ok = match self.arrivals {
            Arrivals::Poisson { sessions_per_s } => sessions_per_s > 0.0 && sessions_per_s <= 1e9,
            Arrivals::Closed { sessions } => sessions > 0,
        };
        if !rate_ok {
            return err("arrivals", "expected more than 0 sessions".into());
        }
        if self.system_prompts == 0 {
            return err("system_prompts", "0, expected at least 1".into());
        }
        let amounts = [
            ("turns", self.turns, 1.0),
            ("user_tokens", self.user_tokens, 1.0),
            ("output_tokens", self.output_tokens, 1.0),
            ("think_s", self.think_s, 0.0),
        ];
        for (field, amount, least) in amounts {
            if !(least..=1e9).contains(&amount.mean) || !(0.0..=100.0).contains(&amount.cv) {
                let why = format!(
                    "mean {} and cv {}, expected a mean of at least {least} and a cv of 0 to 100",
                    amount.mean, amount.cv
                );
                return err(field, why);
            }
        }
        let least = self.system_tokens.saturating_add(2);
        if self.max_context_tokens < least || self.max_context_tokens > 1 << 30 {
            let why = format!(
                "{}, expected {least} (system_tokens and one of each) to {}",
                self.max_context_tokens,
                1 << 30
            );
            return err("max_context_tokens", why);
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Turn {
    /// Prompt tokens, history included.
    prompt: u32,
    output: u32,
    think: Duration,
}

/// A session with all its turns, drawn when it begins.
#[derive(Clone, Debug)]
struct Session {
    chain: Arc<Chain>,
    segments: Arc<[Segment]>,
    turns: Vec<Turn>,
}

#[derive(Clone, Debug)]
pub struct Sessions {
    spec: SessionsSpec,
    scope: ScopePlan,
    seed: u64,
    rate_scale: f64,
    total: u64,
    /// Requests of sessions that have begun.
    begun: u64,
    next_session: u64,
    starts: Rng,
    next_start: Option<Instant>,
    live: BTreeMap<u64, Session>,
    armed: BTreeSet<(Instant, u64, u32)>,
}

impl Sessions {
    /// `limit`: at most so many requests. `rate_scale` multiplies the arrival rate of an open loop.
    pub fn new(
        spec: &SessionsSpec,
        scope: &ScopePlan,
        seed: u64,
        rate_scale: f64,
        limit: Option<u64>,
    ) -> Self {
        let total = spec.requests.min(limit.unwrap_or(u64::MAX));
        let mut sessions = Self {
            spec: spec.clone(),
            scope: scope.clone(),
            seed,
            rate_scale,
            total,
            begun: 0,
            next_session: 0,
            starts: Rng::named(seed, &[0x5354_4152]),
            next_start: None,
            live: BTreeMap::new(),
            armed: BTreeSet::new(),
        };
        match spec.arrivals {
            Arrivals::Poisson { .. } => sessions.draw_start(Instant::START),
            Arrivals::Closed { sessions: count } => {
                for _ in 0..count {
                    sessions.begin(Instant::START);
                }
            }
        }
        sessions
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn next_send(&self) -> Option<Instant> {
        let armed = self.armed.first().map(|&(at, ..)| at);
        match (armed, self.next_start) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub fn send(&mut self) -> Work {
        if let Some(start) = self.next_start
            && self.armed.first().is_none_or(|&(at, ..)| start < at)
        {
            self.begin(start);
            self.draw_start(start);
        }
        let (_, index, turn) = self.armed.pop_first().expect("a turn is due");
        let session = &self.live[&index];
        let Turn { prompt, output, .. } = session.turns[turn as usize];
        let view = |tokens| TokenBlocks::new(Arc::clone(&session.chain), tokens);
        Work {
            request: Request {
                id: RequestId(index * MAX_TURNS + u64::from(turn)),
                session: Some(SessionId(index)),
                tenant: TenantId(0),
                prompt: view(prompt),
                priority: 0,
                deadline: None,
            },
            sequence: view(prompt + output),
            output_tokens: output,
            text: TokenSource::new(Arc::clone(&session.segments)),
        }
    }

    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        let (index, turn) = (id.0 / MAX_TURNS, (id.0 % MAX_TURNS) as u32);
        let session = self.live.get(&index).expect("a session that is under way");
        match session.turns.get(turn as usize + 1) {
            Some(next) => {
                self.armed.insert((now + next.think, index, turn + 1));
            }
            None => {
                self.live.remove(&index);
                if matches!(self.spec.arrivals, Arrivals::Closed { .. }) {
                    self.begin(now);
                }
            }
        }
    }

    fn draw_start(&mut self, after: Instant) {
        let Arrivals::Poisson { sessions_per_s } = self.spec.arrivals else { return };
        let gap = self.starts.exponential(1.0 / (sessions_per_s * self.rate_scale));
        let at = after + Duration::from_secs_f64(gap);
        self.next_start = (self.begun < self.total).then_some(at);
    }

    fn begin(&mut self, at: Instant) {
        if self.begun == self.total {
            return;
        }
        let index = self.next_session;
        self.next_session += 1;
        let mut session = self.draw(index);
        session.turns.truncate((self.total - self.begun).min(MAX_TURNS) as usize);
        self.begun += session.turns.len() as u64;
        self.live.insert(index, session);
        self.armed.insert((at, index, 0));
    }

    /// A session is the same whenever it is drawn.
    fn draw(&self, index: u64) -> Session {
        let spec = &self.spec;
        let mut rng = Rng::named(self.seed, &[0x5345_5353, index]);
        let text = |kind: u64, a: u64, b: u64| hash_words(&[self.seed, kind, a, b]);
        let system = text(1, rng.below(spec.system_prompts), 0);
        let mut segments = vec![Segment::Text { seed: system, tokens: spec.system_tokens }];
        let mut context = spec.system_tokens;
        let mut turns = Vec::new();
        for turn in 0..u64::from(spec.turns.draw_count(&mut rng)).min(MAX_TURNS) {
            let user = spec.user_tokens.draw_count(&mut rng);
            let output = spec.output_tokens.draw_count(&mut rng);
            let think = Duration::from_secs_f64(spec.think_s.draw(&mut rng));
            let room = spec.max_context_tokens - context;
            let (user, output) = if user.saturating_add(output) <= room {
                (user, output)
            } else if turns.is_empty() {
                // A first message that is too long is cut, so that no session is empty.
                let output = output.min(room / 2).max(1);
                (room - output, output)
            } else {
                break;
            };
            segments.push(Segment::Text { seed: text(2, index, turn), tokens: user });
            segments.push(Segment::Answer { tokens: output });
            turns.push(Turn { prompt: context + user, output, think });
            context += user + output;
        }
        let chain = Arc::new(hash_segments(&self.scope, &segments));
        Session { chain, segments: segments.into(), turns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(arrivals: Arrivals) -> SessionsSpec {
        SessionsSpec {
            name: "test".into(),
            requests: 50,
            arrivals,
            system_prompts: 2,
            system_tokens: 100,
            turns: Amount { mean: 4.0, cv: 0.5 },
            user_tokens: Amount { mean: 50.0, cv: 1.0 },
            output_tokens: Amount { mean: 20.0, cv: 0.5 },
            think_s: Amount { mean: 2.0, cv: 1.0 },
            max_context_tokens: 2_000,
        }
    }

    /// Answers each request `service` after it was sent, and lists (id, sent, prompt, answer).
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
    fn the_same_requests_whatever_the_service() {
        for arrivals in
            [Arrivals::Poisson { sessions_per_s: 2.0 }, Arrivals::Closed { sessions: 3 }]
        {
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
    fn a_closed_loop_keeps_its_number_of_sessions() {
        let seen = play(&spec(Arrivals::Closed { sessions: 3 }), Duration::from_millis(10));
        let first =
            seen.iter().filter(|(id, at, ..)| *at == Instant::START && id.0 % MAX_TURNS == 0);
        assert_eq!(first.count(), 3);
    }

    #[test]
    fn specs_that_cannot_be_are_refused_by_field() {
        let good = spec(Arrivals::Closed { sessions: 1 });
        assert_eq!(good.check(), Ok(()));
        let bad = [
            ("requests", SessionsSpec { requests: 0, ..good.clone() }),
            ("arrivals", spec(Arrivals::Closed { sessions: 0 })),
            ("arrivals", spec(Arrivals::Poisson { sessions_per_s: f64::NAN })),
            ("system_prompts", SessionsSpec { system_prompts: 0, ..good.clone() }),
            ("turns", SessionsSpec { turns: Amount { mean: 0.0, cv: 1.0 }, ..good.clone() }),
            ("think_s", SessionsSpec { think_s: Amount { mean: -1.0, cv: 1.0 }, ..good.clone() }),
            ("max_context_tokens", SessionsSpec { max_context_tokens: 101, ..good.clone() }),
        ];
        for (field, spec) in bad {
            assert_eq!(spec.check().unwrap_err().field, field);
        }
    }
}
