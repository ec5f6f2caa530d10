//! Workloads: which requests are sent, and when. A workload has sessions, drawn from a seed or
//! recorded, whose next turn waits for the answer and a think time; or recorded requests with given
//! times.
//!
//! Each request has the time when its user wants it sent: in a session the end of the think time,
//! otherwise its arrival. Latencies count from there, so they include any delay of the client.
//!
//! The requests never depend on how fast they are answered. So a live run and a simulation can have
//! the same ones.

pub mod arrivals;
mod drawn;
pub mod file;
pub mod given;
pub mod mixed;
pub mod phases;
pub mod prompts;
mod seen;
pub mod sessions;
mod shared;
pub mod spec;
pub mod stage;
pub mod staged;
pub mod trace;
mod until;

use crate::id::RequestId;
use crate::request::Work;
use crate::time::Instant;
use given::Given;
use mixed::Mixed;
use phases::Phases;
use sessions::Sessions;
use trace::{SessionReplay, TimedReplay};
use until::Until;

/// The requests of one run.
#[derive(Clone, Debug)]
pub enum Workload {
    /// Sessions drawn from a seed.
    Sessions(Sessions),
    /// Recorded requests with given times.
    Trace(TimedReplay),
    /// Recorded sessions in a closed loop.
    RecordedSessions(SessionReplay),
    /// Several classes of drawn sessions.
    Mixed(Mixed),
    /// The requests of another run, at their times there.
    Given(Given),
    /// One of the others, up to an instant.
    Until(Box<Workload>, Until),
}

impl Workload {
    /// When the next request is to be sent. None: all are sent, or the next waits for an answer.
    pub fn next_send(&self) -> Option<Instant> {
        match self {
            Self::Sessions(sessions) => sessions.next_send(),
            Self::Trace(replay) => replay.next_send(),
            Self::RecordedSessions(replay) => replay.next_send(),
            Self::Mixed(mixed) => mixed.next_send(),
            Self::Given(given) => given.next_send(),
            Self::Until(inner, until) => until.next_send(inner.next_send()),
        }
    }

    /// Takes the first request that is due by `now`, with the time when it was to be sent.
    pub fn send(&mut self, now: Instant) -> Option<(Instant, Work)> {
        let at = self.next_send().filter(|&at| at <= now)?;
        Some((at, self.take()))
    }

    /// Takes the next request, which is due.
    fn take(&mut self) -> Work {
        match self {
            Self::Sessions(sessions) => sessions.send(),
            Self::Trace(replay) => replay.send(),
            Self::RecordedSessions(replay) => replay.send(),
            Self::Mixed(mixed) => mixed.send(),
            Self::Given(given) => given.send(),
            Self::Until(inner, until) => {
                until.count();
                inner.take()
            }
        }
    }

    /// The same arrivals at the rates of these phases. A drawn workload goes on as long as
    /// they last, or up to `limit` requests. Panics for sessions that wait for each other, and
    /// for stages of the workload's own.
    #[must_use]
    pub fn in_phases(self, phases: &Phases, limit: Option<u64>) -> Self {
        let inner = match self {
            Self::Sessions(sessions) => Self::Sessions(sessions.in_phases(phases, limit)),
            Self::Trace(replay) => Self::Trace(replay.in_phases(phases)),
            Self::Mixed(mixed) => Self::Mixed(mixed.in_phases(phases, limit)),
            Self::RecordedSessions(_) | Self::Given(_) | Self::Until(..) => {
                panic!("it has no arrivals to move")
            }
        };
        inner.until(phases.end())
    }

    /// The part before `end`.
    #[must_use]
    pub fn until(self, end: Instant) -> Self {
        Self::Until(Box::new(self), Until::new(end))
    }

    /// A request that was sent has ended, answered or failed. The caller must report every one: the
    /// next turn of its session waits for it.
    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        match self {
            Self::Sessions(sessions) => sessions.on_ended(now, id),
            Self::RecordedSessions(replay) => replay.on_ended(now, id),
            Self::Mixed(mixed) => mixed.on_ended(now, id),
            Self::Until(inner, _) => inner.on_ended(now, id),
            Self::Trace(_) | Self::Given(_) => {}
        }
    }

    /// The number of requests of the run. Of a run that ends at an instant it falls to what was sent.
    pub fn total(&self) -> u64 {
        match self {
            Self::Sessions(sessions) => sessions.total(),
            Self::Trace(replay) => replay.total(),
            Self::RecordedSessions(replay) => replay.total(),
            Self::Mixed(mixed) => mixed.total(),
            Self::Given(given) => given.total(),
            Self::Until(inner, until) => until.total(inner.next_send(), inner.total()),
        }
    }
}
