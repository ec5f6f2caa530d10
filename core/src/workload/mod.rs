//! The workload's heart: what is sent, and when. Either sessions drawn from a seed, whose next turn
//! waits for the answer and a think time, or a recorded trace, whose times are given.
//!
//! Which requests there are never depends on how fast they are answered, so a live run and a
//! simulated one can be given the same.

pub mod sessions;
pub mod trace;

use crate::id::RequestId;
use crate::request::Work;
use crate::time::Instant;
use sessions::Sessions;
use trace::Replay;

#[derive(Clone, Debug)]
pub enum Workload {
    Sessions(Sessions),
    Trace(Replay),
}

impl Workload {
    /// When the next request should be sent. None: all are sent, or the next waits for an answer.
    pub fn next_send(&self) -> Option<Instant> {
        match self {
            Self::Sessions(sessions) => sessions.next_send(),
            Self::Trace(replay) => replay.next_send(),
        }
    }

    /// The first request that is due by `now`, and when it should have been sent.
    pub fn send(&mut self, now: Instant) -> Option<(Instant, Work)> {
        let at = self.next_send().filter(|&at| at <= now)?;
        let work = match self {
            Self::Sessions(sessions) => sessions.send(),
            Self::Trace(replay) => replay.send(),
        };
        Some((at, work))
    }

    /// Must be told of every request that was sent, answered or not: a session goes on with its
    /// next turn either way.
    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        match self {
            Self::Sessions(sessions) => sessions.on_ended(now, id),
            Self::Trace(_) => {}
        }
    }

    /// How many requests it sends in all.
    pub fn total(&self) -> u64 {
        match self {
            Self::Sessions(sessions) => sessions.total(),
            Self::Trace(replay) => replay.total(),
        }
    }
}
