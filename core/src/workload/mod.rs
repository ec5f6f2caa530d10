//! Workloads: which requests are sent, and when. Sessions are drawn from a seed or recorded, and
//! each turn waits for the answer before it and a think time. A recorded trace of requests has its
//! own times.
//!
//! The time of a request is when its user wanted it sent: the end of the think time in a session,
//! the arrival otherwise. Latency counts from it, so a client that falls behind can't hide it.
//!
//! The requests never depend on how fast they are answered, so a live run and a simulated one get
//! the same requests.

pub mod arrivals;
mod drawn;
pub mod mixed;
mod seen;
pub mod sessions;
mod shared;
pub mod spec;
pub mod trace;

use crate::id::RequestId;
use crate::request::Work;
use crate::time::Instant;
use mixed::Mixed;
use sessions::Sessions;
use trace::{Replay, SessionReplay};

/// A source of requests.
#[derive(Clone, Debug)]
pub enum Workload {
    /// Sessions drawn from a seed.
    Sessions(Sessions),
    /// Recorded requests.
    Trace(Replay),
    /// Recorded sessions.
    RecordedSessions(SessionReplay),
    /// Several classes of drawn sessions.
    Mixed(Mixed),
}

impl Workload {
    /// When to send the next request. None: all are sent, or the next one waits for an answer.
    pub fn next_send(&self) -> Option<Instant> {
        match self {
            Self::Sessions(sessions) => sessions.next_send(),
            Self::Trace(replay) => replay.next_send(),
            Self::RecordedSessions(replay) => replay.next_send(),
            Self::Mixed(mixed) => mixed.next_send(),
        }
    }

    /// The first request that is due by `now`, with the time at which it should have been sent.
    pub fn send(&mut self, now: Instant) -> Option<(Instant, Work)> {
        let at = self.next_send().filter(|&at| at <= now)?;
        let work = match self {
            Self::Sessions(sessions) => sessions.send(),
            Self::Trace(replay) => replay.send(),
            Self::RecordedSessions(replay) => replay.send(),
            Self::Mixed(mixed) => mixed.send(),
        };
        Some((at, work))
    }

    /// Records that a request has ended. Call it for every request sent, answered or not: the
    /// session continues either way.
    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        match self {
            Self::Sessions(sessions) => sessions.on_ended(now, id),
            Self::RecordedSessions(replay) => replay.on_ended(now, id),
            Self::Mixed(mixed) => mixed.on_ended(now, id),
            Self::Trace(_) => {}
        }
    }

    /// Number of requests of the whole workload.
    pub fn total(&self) -> u64 {
        match self {
            Self::Sessions(sessions) => sessions.total(),
            Self::Trace(replay) => replay.total(),
            Self::RecordedSessions(replay) => replay.total(),
            Self::Mixed(mixed) => mixed.total(),
        }
    }
}
