//! Recorded sessions. Each starts at its recorded time; or they are played in a closed loop: a fixed
//! number of sessions is active, in the order of the file. Each request is sent when the requests that it waits for are answered and its think time
//! is over.
//!
//! Many recordings of sessions have no arrival times. The number of active sessions and the longest
//! think time are then settings of the run, and reports state them beside the figures.

use crate::block::hash_segments;
use crate::id::{RequestId, SessionId};
use crate::request::{TokenSource, Work};
use crate::rng::Rng;
use crate::sharing::{Requester, Scopes};
use crate::time::{Duration, Instant};
use crate::tokens::Segment;
use crate::workload::seen::Seen;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One session as a trace has it.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordedSession {
    /// When it starts, from the start of the trace. None: the recording does not say.
    pub start: Option<Duration>,
    /// The requests. Each one comes after the requests that it waits for.
    pub requests: Vec<RecordedRequest>,
}

/// One request of a recorded session.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordedRequest {
    /// The prompt.
    pub prompt: Vec<Segment>,
    /// The length of the answer, at least 1.
    pub output_tokens: u32,
    /// The time from send to last token in the recording.
    pub service: Duration,
    /// The agent: 0 for the session's main agent, others for its sub-agents.
    pub agent: u32,
    /// The requests of this session that must end first, by index. Empty: it waits for none.
    pub after: SmallVec<[u32; 1]>,
    /// The think time, from the last of those ends or from the start of the session.
    pub think: Duration,
    /// It is not sent before this time, from the start of the session.
    pub due: Duration,
    /// The priority, as the router's queue reads it: a smaller one goes first.
    pub priority: i32,
}

/// A trace of recorded sessions, used by all runs on it.
#[derive(Debug)]
pub struct SessionTrace {
    scopes: Scopes,
    /// The number of active sessions. None: each starts at its recorded time.
    at_a_time: Option<u32>,
    /// The recorded start of each session. Empty where `at_a_time` counts.
    starts: Vec<Duration>,
    requests: Vec<Prepared>,
    /// (request, a request that waits for it), ascending.
    waiters: Vec<(u32, u32)>,
    /// The first request of each session, and the number of requests at the end.
    bounds: Vec<u32>,
    /// The send time of each request if every answer took as long as in the recording, ascending.
    nominal: Vec<(Instant, u32)>,
}

/// A request without block hashes. They are computed when it is sent, which is cheap and keeps a
/// trace of long prompts small.
#[derive(Debug)]
struct Prepared {
    session: u32,
    /// The session id that the router sees. A sub-agent has its own, because it shares no history
    /// with the agent that called it.
    conversation: u64,
    segments: Arc<[Segment]>,
    prompt_tokens: u32,
    output_tokens: u32,
    think: Duration,
    due: Duration,
    priority: i32,
    service: Duration,
    waits_for: u32,
}

impl SessionTrace {
    /// A trace with `at_a_time` active sessions, at least 1, and think times of at most `think_cap`.
    /// Each recorded session with its sub-agents belongs to one user and one tenant.
    pub fn new(
        sessions: &[RecordedSession],
        scopes: impl Into<Scopes>,
        at_a_time: u32,
        think_cap: Duration,
    ) -> Self {
        assert!(at_a_time > 0, "a closed loop needs at least one active session");
        Self::started(sessions, scopes.into(), Some(at_a_time), think_cap)
    }

    /// A trace whose sessions start at their recorded times, or at 0 where the recording has none.
    pub fn at_recorded_starts(
        sessions: &[RecordedSession],
        scopes: impl Into<Scopes>,
        think_cap: Duration,
    ) -> Self {
        Self::started(sessions, scopes.into(), None, think_cap)
    }

    fn started(
        sessions: &[RecordedSession],
        scopes: Scopes,
        at_a_time: Option<u32>,
        think_cap: Duration,
    ) -> Self {
        let starts = sessions.iter().map(|session| session.start.unwrap_or(Duration::ZERO));
        let mut trace = Self {
            scopes,
            at_a_time,
            starts: if at_a_time.is_some() { Vec::new() } else { starts.collect() },
            requests: Vec::new(),
            waiters: Vec::new(),
            bounds: vec![0],
            nominal: Vec::new(),
        };
        let mut conversations = 0;
        for (session, recorded) in (0..).zip(sessions) {
            let base = trace.requests.len() as u32;
            let mut agents = 0;
            for (index, request) in (base..).zip(&recorded.requests) {
                let waiters = request.after.iter().map(|&before| (base + before, index));
                trace.waiters.extend(waiters);
                agents = agents.max(u64::from(request.agent) + 1);
                let conversation = conversations + u64::from(request.agent);
                trace.requests.push(Prepared::new(request, session, conversation, think_cap));
            }
            conversations += agents;
            trace.bounds.push(trace.requests.len() as u32);
        }
        trace.waiters.sort_unstable();
        trace.with_nominal_times()
    }

    fn with_nominal_times(self) -> Self {
        let this = Arc::new(self);
        let mut replay = SessionReplay::new(Arc::clone(&this), None);
        let mut nominal = Vec::with_capacity(this.requests.len());
        let mut ends: BTreeSet<(Instant, u32)> = BTreeSet::new();
        loop {
            let end = ends.first().copied();
            match (replay.next_send(), end) {
                (Some(at), end) if end.is_none_or(|(ended, _)| at <= ended) => {
                    let index = replay.pop();
                    nominal.push((at, index));
                    ends.insert((at + this.requests[index as usize].service, index));
                }
                (_, Some((ended, index))) => {
                    ends.pop_first();
                    replay.on_ended(ended, RequestId(u64::from(index)));
                }
                (_, None) => break,
            }
        }
        drop(replay);
        let this = Arc::into_inner(this).expect("the replay was dropped");
        Self { nominal, ..this }
    }

    /// Whether the sessions start at recorded times.
    pub const fn has_starts(&self) -> bool {
        self.at_a_time.is_none()
    }

    /// The number of requests.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// The number of requests sent in the first `seconds` seconds if every answer took as long as in
    /// the recording.
    pub fn nominally_sent_within(&self, seconds: f64) -> u64 {
        self.nominal.partition_point(|(at, _)| at.as_secs_f64() <= seconds) as u64
    }

    fn waiters(&self, of: u32) -> impl Iterator<Item = u32> {
        let from = self.waiters.partition_point(|&(before, _)| before < of);
        self.waiters[from..].iter().take_while(move |pair| pair.0 == of).map(|pair| pair.1)
    }
}

impl Prepared {
    fn new(
        request: &RecordedRequest,
        session: u32,
        conversation: u64,
        think_cap: Duration,
    ) -> Self {
        let answer = Segment::Answer { tokens: request.output_tokens };
        Self {
            session,
            conversation,
            segments: request.prompt.iter().copied().chain([answer]).collect(),
            prompt_tokens: request.prompt.iter().map(Segment::tokens).sum(),
            output_tokens: request.output_tokens,
            think: request.think.min(think_cap),
            due: request.due,
            priority: request.priority,
            service: request.service,
            waits_for: request.after.len() as u32,
        }
    }
}

/// One run over recorded sessions.
#[derive(Clone, Debug)]
pub struct SessionReplay {
    trace: Arc<SessionTrace>,
    /// Whether this run sends each request.
    wanted: Arc<[bool]>,
    total: u64,
    rate_scale: f64,
    /// When each session began.
    begun: Vec<Instant>,
    /// The number of ends that each request still waits for.
    waits_for: Vec<u32>,
    /// The number of wanted requests of each session that have not ended.
    left: Vec<u32>,
    /// The texts so far of each active session.
    seen: BTreeMap<u32, Seen>,
    /// The sessions in the order in which they begin.
    order: Vec<u32>,
    /// How many of them have begun or were skipped.
    next: usize,
    /// The requests that wait for their time only: (time, request).
    armed: BTreeSet<(Instant, u32)>,
}

impl SessionReplay {
    /// A run of the first `limit` requests by the times of the recording. So the choice does not
    /// depend on the answers of this run, and a limited run has as many active sessions as a whole
    /// one.
    pub fn new(trace: Arc<SessionTrace>, limit: Option<u64>) -> Self {
        Self::at_rate(trace, limit, 1.0)
    }

    /// The same requests, but the sessions begin in an order that is drawn from a seed.
    pub fn shuffled(trace: Arc<SessionTrace>, limit: Option<u64>, seed: u64) -> Self {
        let mut rng = Rng::named(seed, &[0x5348_5546]);
        let mut order: Vec<u32> = (0..trace.bounds.len() as u32 - 1).collect();
        // Fisher and Yates: each order is as likely as any other.
        for last in (1..order.len()).rev() {
            order.swap(last, rng.below(last as u64 + 1) as usize);
        }
        Self::in_order(trace, limit, 1.0, order)
    }

    /// As [`Self::new`], with recorded times divided by `rate_scale`. Think times stay as they are,
    /// and a closed loop has no recorded times.
    pub fn at_rate(trace: Arc<SessionTrace>, limit: Option<u64>, rate_scale: f64) -> Self {
        let order = (0..trace.bounds.len() as u32 - 1).collect();
        Self::in_order(trace, limit, rate_scale, order)
    }

    fn in_order(
        trace: Arc<SessionTrace>,
        limit: Option<u64>,
        rate_scale: f64,
        order: Vec<u32>,
    ) -> Self {
        let count = trace.requests.len();
        let mut wanted = vec![true; count];
        let total = (count as u64).min(limit.unwrap_or(u64::MAX));
        if total < count as u64 {
            for &(_, index) in &trace.nominal[total as usize..] {
                wanted[index as usize] = false;
            }
        }
        let mut left = vec![0; trace.bounds.len() - 1];
        for (request, _) in trace.requests.iter().zip(&wanted).filter(|(_, wanted)| **wanted) {
            left[request.session as usize] += 1;
        }
        let waits_for = trace.requests.iter().map(|request| request.waits_for).collect();
        let at_a_time = trace.at_a_time;
        let mut replay = Self {
            trace,
            wanted: wanted.into(),
            total,
            rate_scale,
            begun: vec![Instant::START; left.len()],
            waits_for,
            left,
            seen: BTreeMap::new(),
            order,
            next: 0,
            armed: BTreeSet::new(),
        };
        // Without a number of active sessions all begin now, each at its own time.
        for _ in 0..at_a_time.unwrap_or(u32::MAX).min(replay.left.len() as u32) {
            replay.begin(Instant::START);
        }
        replay
    }

    /// The number of requests of the run.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// When the next request is to be sent. None: all are sent, or the next waits for an answer.
    pub fn next_send(&self) -> Option<Instant> {
        self.armed.first().map(|&(at, _)| at)
    }

    fn pop(&mut self) -> u32 {
        self.armed.pop_first().expect("a request is due").1
    }

    /// Takes the next request. Panics if none is due.
    pub fn send(&mut self) -> Work {
        let index = self.pop();
        let request = &self.trace.requests[index as usize];
        let (id, user) = (RequestId(u64::from(index)), SessionId(u64::from(request.session)));
        // Parallel sub-agents may overtake one another, so this depends on the run.
        let (_, prompt) = request.segments.split_last().expect("an answer ends every text");
        let known = self.seen.entry(request.session).or_default().add(prompt);
        let scopes = &self.trace.scopes;
        let tenant = scopes.tenants().deal(&[1, user.0]);
        let scope = scopes.plan(Requester { tenant, session: Some(user), request: id }, 0);
        let chain = hash_segments(&scope, &request.segments);
        let tokens = (request.prompt_tokens, request.output_tokens);
        let text = TokenSource::new(Arc::clone(&request.segments));
        let session = Some(SessionId(request.conversation));
        let work = Work::new(id, session, &chain, tokens, text).of(tenant, scopes.known(known, 0));
        let mut work = Work { user: Some(user), ..work };
        work.request.priority = request.priority;
        work
    }

    /// A request that was sent has ended, answered or failed.
    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        let trace = Arc::clone(&self.trace);
        let index = id.0 as u32;
        for waiter in trace.waiters(index) {
            self.waits_for[waiter as usize] -= 1;
            self.arm(now, waiter);
        }
        let session = trace.requests[index as usize].session;
        self.left[session as usize] -= 1;
        if self.left[session as usize] == 0 {
            self.seen.remove(&session);
            if self.trace.at_a_time.is_some() {
                self.begin(now);
            }
        }
    }

    fn begin(&mut self, now: Instant) {
        let rest = &self.order[self.next..];
        // Skip sessions without a wanted request: none of their requests would ever end.
        let skipped = rest.iter().position(|&session| self.left[session as usize] > 0);
        let Some(skipped) = skipped else { return };
        let session = rest[skipped] as usize;
        self.next += skipped + 1;
        let start = self.trace.starts.get(session).copied().unwrap_or(Duration::ZERO);
        let now = now + self.scaled(start);
        self.begun[session] = now;
        for index in self.trace.bounds[session]..self.trace.bounds[session + 1] {
            self.arm(now, index);
        }
    }

    /// Arms a request if it waits for no other one.
    fn arm(&mut self, now: Instant, index: u32) {
        let i = index as usize;
        if self.waits_for[i] == 0 && self.wanted[i] {
            let request = &self.trace.requests[i];
            let due = self.begun[request.session as usize] + self.scaled(request.due);
            self.armed.insert((due.max(now + request.think), index));
        }
    }

    fn scaled(&self, time: Duration) -> Duration {
        match self.rate_scale {
            1.0 => time,
            scale => Duration::from_nanos_f64(time.as_nanos() as f64 / scale),
        }
    }
}

#[cfg(test)]
mod tests;
