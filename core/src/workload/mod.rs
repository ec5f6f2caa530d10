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
pub mod mixed;
pub mod prompts;
mod seen;
pub mod sessions;
mod shared;
pub mod spec;
pub mod stage;
pub mod staged;
pub mod trace;

use crate::id::RequestId;
use crate::request::Work;
use crate::time::Instant;
use mixed::Mixed;
use sessions::Sessions;
use trace::{SessionReplay, TimedReplay};

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
}

impl Workload {
    /// When the next request is to be sent. None: all are sent, or the next waits for an answer.
    pub fn next_send(&self) -> Option<Instant> {
        match self {
            Self::Sessions(sessions) => sessions.next_send(),
            Self::Trace(replay) => replay.next_send(),
            Self::RecordedSessions(replay) => replay.next_send(),
            Self::Mixed(mixed) => mixed.next_send(),
        }
    }

    /// Takes the first request that is due by `now`, with the time when it was to be sent.
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

    /// A request that was sent has ended, answered or failed. The caller must report every one: the
    /// next turn of its session waits for it.
    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        match self {
            Self::Sessions(sessions) => sessions.on_ended(now, id),
            Self::RecordedSessions(replay) => replay.on_ended(now, id),
            Self::Mixed(mixed) => mixed.on_ended(now, id),
            Self::Trace(_) => {}
        }
    }

    /// The number of requests of the run.
    pub fn total(&self) -> u64 {
        match self {
            Self::Sessions(sessions) => sessions.total(),
            Self::Trace(replay) => replay.total(),
            Self::RecordedSessions(replay) => replay.total(),
            Self::Mixed(mixed) => mixed.total(),
        }
    }
}
