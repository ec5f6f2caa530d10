//! The workload's heart: what is sent, and when. Sessions drawn from a seed or recorded, whose next
//! turn waits for the answer and a think time; or recorded requests, whose times are given.
//!
//! The time that a request comes with is when its user wanted it sent: in a session the end of the
//! think time, otherwise the arrival. Latency counts from there, so a client that falls behind
//! can't hide it.
//!
//! Which requests there are never depends on how fast they are answered, so a live run and a
//! simulated one can be given the same.

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

#[derive(Clone, Debug)]
pub enum Workload {
    Sessions(Sessions),
    Trace(Replay),
    RecordedSessions(SessionReplay),
    Mixed(Mixed),
}

impl Workload {
    /// When the next request should be sent. None: all are sent, or the next waits for an answer.
    pub fn next_send(&self) -> Option<Instant> {
        match self {
            Self::Sessions(sessions) => sessions.next_send(),
            Self::Trace(replay) => replay.next_send(),
            Self::RecordedSessions(replay) => replay.next_send(),
            Self::Mixed(mixed) => mixed.next_send(),
        }
    }

    /// The first request that is due by `now`, and when it should have been sent.
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

    /// Must be told of every request that was sent, answered or not: a session goes on with its
    /// next turn either way.
    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        match self {
            Self::Sessions(sessions) => sessions.on_ended(now, id),
            Self::RecordedSessions(replay) => replay.on_ended(now, id),
            Self::Mixed(mixed) => mixed.on_ended(now, id),
            Self::Trace(_) => {}
        }
    }

    /// How many requests it sends in all.
    pub fn total(&self) -> u64 {
        match self {
            Self::Sessions(sessions) => sessions.total(),
            Self::Trace(replay) => replay.total(),
            Self::RecordedSessions(replay) => replay.total(),
            Self::Mixed(mixed) => mixed.total(),
        }
    }
}
