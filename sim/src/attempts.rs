//! The attempts at requests, in worlds whose workers may fail: where each is, and its timer.

use serde::Serialize;
use std::collections::BTreeSet;
use warmpath_core::hash::Map;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::Work;
use warmpath_core::routing::input::{AttemptLimits, Decision, Failure};
use warmpath_core::time::Instant;

/// How many attempts failed, and what came of that.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct AttemptCounts {
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that were given up because of a time limit. Some of those that failed.
    pub timed_out: u64,
    /// Attempts that were given up because their worker was silent. Some of those that failed.
    pub abandoned: u64,
    /// Requests that were sent again.
    pub again: u64,
    /// Those of them of which the client had a part of the answer.
    pub resumed: u64,
}

/// A request on its worker.
#[derive(Debug)]
pub struct Attempt {
    pub worker: WorkerId,
    pub number: u32,
    pub limits: Option<AttemptLimits>,
    pub begun: Instant,
    /// Whether the router has this attempt's first token.
    pub answers: bool,
    pub timer: Option<(Instant, Failure)>,
    /// The answer tokens that the router has of it, while nothing gets through.
    pub seen: Option<u32>,
    /// Its connection broke, and the router does not know yet.
    pub broken: bool,
}

/// A request as its client sees it.
#[derive(Debug)]
pub struct Asked {
    pub output_tokens: u32,
    pub prompt_tokens: u32,
    /// Answer tokens of the attempts that failed.
    pub delivered: u32,
    /// Whether the client has the first token.
    pub answered: bool,
    pub attempts: u32,
}

/// All requests that have not ended.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Whether workers may fail, or the router does something about it. Otherwise nothing is kept here.
    pub on: bool,
    pub live: Map<RequestId, Attempt>,
    pub asked: Map<RequestId, Asked>,
    pub timers: BTreeSet<(Instant, RequestId)>,
    pub counts: AttemptCounts,
}

impl Attempts {
    pub fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    pub fn asked(&mut self, work: &Work) {
        if self.on {
            let (output_tokens, prompt_tokens) = (work.output_tokens, work.request.prompt.tokens());
            let asked =
                Asked { output_tokens, prompt_tokens, delivered: 0, answered: false, attempts: 0 };
            self.asked.insert(work.request.id, asked);
        }
    }

    pub fn begin(&mut self, now: Instant, id: RequestId, decision: &Decision) {
        let asked = self.asked.get_mut(&id).expect("a request that is sent was asked for");
        asked.attempts += 1;
        self.counts.again += u64::from(asked.attempts > 1);
        self.counts.resumed += u64::from(asked.delivered > 0);
        let (worker, number, limits) = (decision.worker, asked.attempts, decision.limits);
        let attempt = Attempt {
            worker,
            number,
            limits,
            begun: now,
            answers: false,
            timer: None,
            seen: None,
            broken: false,
        };
        let before = self.live.insert(id, attempt);
        assert!(before.is_none(), "{id} is sent while another attempt is under way");
        self.arm(id, |limits, begun| (begun + limits.headers, Failure::NoHeaders));
    }

    /// Sets an attempt's timer, if it has limits.
    pub fn arm(
        &mut self,
        id: RequestId,
        timer: impl FnOnce(AttemptLimits, Instant) -> (Instant, Failure),
    ) {
        self.disarm(id);
        if let Some(attempt) = self.live.get_mut(&id)
            && let Some(limits) = attempt.limits
        {
            let timer = timer(limits, attempt.begun);
            attempt.timer = Some(timer);
            self.timers.insert((timer.0, id));
        }
    }

    pub fn disarm(&mut self, id: RequestId) {
        if let Some((at, _)) = self.live.get_mut(&id).and_then(|attempt| attempt.timer.take()) {
            self.timers.remove(&(at, id));
        }
    }

    /// The number of a request's attempt, if it is under way on this worker.
    pub fn number(&self, id: RequestId, worker: WorkerId) -> Option<u32> {
        self.live.get(&id).filter(|attempt| attempt.worker == worker).map(|attempt| attempt.number)
    }

    pub fn is_live(&self, id: RequestId, number: u32) -> bool {
        self.live.get(&id).is_some_and(|attempt| attempt.number == number)
    }

    pub fn end(&mut self, id: RequestId) -> Option<Attempt> {
        self.disarm(id);
        self.live.remove(&id)
    }

    /// A request is over.
    pub fn forget(&mut self, id: RequestId) {
        self.end(id);
        self.asked.remove(&id);
    }

    /// The requests on a worker, in the order of their ids.
    pub fn on_worker(&self, worker: WorkerId) -> Vec<RequestId> {
        let on_it = self.live.iter().filter(|(_, attempt)| attempt.worker == worker);
        let mut ids: Vec<RequestId> = on_it.map(|(&id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    pub fn check_at_rest(&self) {
        assert!(self.live.is_empty() && self.timers.is_empty(), "attempts never ended");
        assert!(self.asked.is_empty(), "{} requests were lost", self.asked.len());
    }
}
