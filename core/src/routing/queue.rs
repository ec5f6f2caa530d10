//! Requests that the rule holds, in the order of their arrival or of late binding ([`Hold`]).
//!
//! The queue is bounded in requests and in prompt tokens, and no request waits longer than a limit.
//! Each cancel, and each input after which the rule is asked again, walks the whole queue.
//!
//! [`Hold`]: crate::routing::policy::Hold

use crate::id::RequestId;
use crate::request::Request;
use crate::routing::decision::RejectReason;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// A rule that asks to be asked again at once is asked after this time, so that time goes on.
const SOONEST: Duration = Duration::from_millis(1);

/// How much a router holds at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueLimits {
    /// Requests that wait.
    pub requests: u32,
    /// Prompt tokens of the requests that wait.
    pub prompt_tokens: u64,
    /// The time that one request waits.
    pub longest_wait: Duration,
}

impl Default for QueueLimits {
    /// 1,024 requests with 16,777,216 prompt tokens, each for 60 s.
    fn default() -> Self {
        Self {
            requests: 1_024,
            prompt_tokens: 1 << 24,
            longest_wait: Duration::from_millis(60_000),
        }
    }
}

/// A request that waits.
#[derive(Clone, Debug)]
pub struct Held {
    /// As it arrived.
    pub request: Request,
    /// When it arrived.
    pub since: Instant,
    /// The rule is asked again then at the latest.
    pub until: Instant,
    /// The least goes first: the priority, then what late binding orders by, then the arrival.
    place: (i32, i64, u64),
}

impl Held {
    /// How long it has waited.
    pub fn waited(&self, now: Instant) -> Duration {
        now.since(self.since)
    }

    /// What it stands in the queue by, among requests of its priority.
    pub(super) const fn place(&self) -> i64 {
        self.place.1
    }

    /// When something must be decided about it.
    fn wake(&self, limits: &QueueLimits) -> Instant {
        let wake = self.until.min(self.since + limits.longest_wait);
        self.request.deadline.map_or(wake, |deadline| wake.min(deadline))
    }

    /// Why it can't wait any longer, if so.
    pub(super) fn give_up(&self, now: Instant, limits: &QueueLimits) -> Option<RejectReason> {
        let (waited, longest) = (self.waited(now), limits.longest_wait);
        (waited >= longest).then_some(RejectReason::WaitedTooLong { waited, longest })
    }

    /// Whether its client has stopped waiting.
    pub(super) fn is_past_deadline(&self, now: Instant) -> bool {
        self.request.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// The requests that wait.
#[derive(Default, Debug)]
pub struct Queue {
    limits: QueueLimits,
    /// By place.
    held: Vec<Held>,
    /// Requests that were put here since the start.
    arrivals: u64,
    prompt_tokens: u64,
    wake: Option<Instant>,
}

impl Queue {
    pub(super) fn set_limits(&mut self, limits: QueueLimits) {
        self.limits = limits;
        self.refresh_wake();
    }

    /// How much it holds at most.
    pub const fn limits(&self) -> &QueueLimits {
        &self.limits
    }

    /// How many requests wait.
    pub const fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Prompt tokens of the requests that wait.
    pub const fn prompt_tokens(&self) -> u64 {
        self.prompt_tokens
    }

    /// The requests that wait; the first goes first.
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// Whether a request of this id waits.
    pub fn holds(&self, id: RequestId) -> bool {
        self.held.iter().any(|held| held.request.id == id)
    }

    /// When something must be decided about a request that waits, if no input comes before.
    pub const fn next_wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Whether something must be decided now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.wake.is_some_and(|wake| wake <= now)
    }

    /// Whether that must be decided about this request.
    pub(super) fn is_request_due(&self, held: &Held, now: Instant) -> bool {
        held.wake(&self.limits) <= now
    }

    /// How many requests go before one of this place.
    pub(super) fn ahead(&self, (priority, key): (i32, i64)) -> usize {
        self.held.partition_point(|other| other.place <= (priority, key, u64::MAX))
    }

    /// Takes out the last request if it goes after one of this place.
    pub(super) fn yield_last(&mut self, (priority, key): (i32, i64)) -> Option<Request> {
        let last = self.held.pop_if(|last| (priority, key) < (last.place.0, last.place.1))?;
        self.prompt_tokens -= u64::from(last.request.prompt.tokens());
        self.refresh_wake();
        Some(last.request)
    }

    /// Whether a request has room.
    pub(super) fn has_room_for(&self, request: &Request) -> bool {
        let tokens = self.prompt_tokens + u64::from(request.prompt.tokens());
        self.held.len() < self.limits.requests as usize && tokens <= self.limits.prompt_tokens
    }

    /// Why a request has no room.
    pub(super) fn full_for(&self, request: &Request) -> RejectReason {
        let QueueLimits { requests, prompt_tokens, .. } = self.limits;
        RejectReason::QueueFull {
            requests: self.held.len() as u32,
            most_requests: requests,
            prompt_tokens: self.prompt_tokens,
            most_prompt_tokens: prompt_tokens,
            needed_tokens: request.prompt.tokens(),
        }
    }

    /// Puts a request behind those with a smaller or an equal place. `place`: the priority, and what
    /// late binding orders by; None: the request stands in the order of arrival. The answer is when the
    /// rule is asked again at the latest.
    pub(super) fn push(
        &mut self,
        now: Instant,
        request: &Request,
        until: Instant,
        place: Option<(i32, i64)>,
    ) -> Result<Instant, RejectReason> {
        if request.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(RejectReason::DeadlinePassed { waited: Duration::ZERO });
        }
        let tokens = request.prompt.tokens();
        if !self.has_room_for(request) {
            return Err(self.full_for(request));
        }
        let until = soonest(now, until);
        self.arrivals += 1;
        let (priority, key) = place.unwrap_or_default();
        let place = (priority, key, self.arrivals);
        let held = Held { request: request.clone(), since: now, until, place };
        if let Some(reason) = held.give_up(now, &self.limits) {
            return Err(reason);
        }
        let wake = held.wake(&self.limits);
        self.wake = Some(self.wake.map_or(wake, |first| first.min(wake)));
        let at = self.held.partition_point(|other| other.place < place);
        self.held.insert(at, held);
        self.prompt_tokens += u64::from(tokens);
        Ok(until)
    }

    /// Takes a request out. False: no request of this id waits.
    pub(super) fn cancel(&mut self, id: RequestId) -> bool {
        let Some(place) = self.held.iter().position(|held| held.request.id == id) else {
            return false;
        };
        let gone = self.held.remove(place);
        self.prompt_tokens -= u64::from(gone.request.prompt.tokens());
        self.refresh_wake();
        true
    }

    /// Asks about each request in turn. None: it leaves the queue. An instant: it waits, until then
    /// at the latest.
    pub(super) fn review(
        &mut self,
        now: Instant,
        mut ask: impl FnMut(&Self, &Held) -> Option<Instant>,
    ) {
        let mut all = core::mem::take(&mut self.held);
        all.retain_mut(|held| match ask(self, held) {
            Some(until) => {
                held.until = soonest(now, until);
                true
            }
            None => {
                self.prompt_tokens -= u64::from(held.request.prompt.tokens());
                false
            }
        });
        self.held = all;
        self.refresh_wake();
    }

    fn refresh_wake(&mut self) {
        self.wake = self.held.iter().map(|held| held.wake(&self.limits)).min();
    }

    /// At rest nothing waits.
    pub fn check_at_rest(&self) {
        assert!(self.held.is_empty(), "{} requests are held", self.held.len());
        assert_eq!((self.prompt_tokens, self.wake), (0, None), "an empty queue holds something");
    }
}

fn soonest(now: Instant, until: Instant) -> Instant {
    if until > now { until } else { now + SOONEST }
}
