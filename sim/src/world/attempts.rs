//! The attempts of requests, in worlds whose workers fail: what a router's shell does with the core's
//! decisions. It arms the timers, tells the core how an attempt ended, and resumes an answer elsewhere.

use super::state::World;
use crate::messages::{Message, Said};
use std::sync::Arc;
use warmpath_core::block::TokenBlocks;
use warmpath_core::engine::Engine;
use warmpath_core::event::Snapshot;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::report::Cached;
use warmpath_core::request::{Request, Work};
use warmpath_core::routing::input::{AttemptLimits, Decision, Failure, Input};
use warmpath_core::time::Instant;

impl World<'_> {
    /// The router sends a request.
    pub(super) fn begin_attempt(&mut self, now: Instant, id: RequestId, decision: &Decision) {
        if self.attempts.on {
            self.attempts.begin(now, id, decision);
        }
    }

    /// A request reaches a worker that may fail. False: the worker does not serve it.
    pub(super) fn reaches(&mut self, now: Instant, id: RequestId, worker: WorkerId) -> bool {
        let condition = self.worker_faults.of(worker.0);
        if self.attempts.live.get(&id).is_some_and(|a| a.worker == worker && a.broken) {
            return false;
        }
        let none = self.worker_faults.is_away(worker.0) || condition.draining;
        let how = match (none, condition.failing) {
            (true, _) => Failure::NotTaken,
            (false, true) => Failure::BeforeFirstToken,
            (false, false) => {
                if !condition.frozen {
                    // A request that waited on its way may be late already.
                    let first = |limits: AttemptLimits, begun: Instant| {
                        ((begun + limits.first_token).max(now), Failure::NoFirstToken)
                    };
                    self.attempts.arm(id, first);
                }
                return true;
            }
        };
        self.breaks(now, (id, worker), how, 0);
        false
    }

    /// The call to a worker breaks; the router hears of it. `made`: answer tokens by then.
    fn breaks(
        &mut self,
        now: Instant,
        (id, worker): (RequestId, WorkerId),
        how: Failure,
        made: u32,
    ) {
        if let Some(number) = self.attempts.number(id, worker) {
            let said = Said { id, worker, number };
            self.post(now + self.hop, Message::Broke(said, how, made));
        }
    }

    /// The router hears that an attempt failed after `made` answer tokens.
    pub(super) fn broke(&mut self, now: Instant, said: Said, how: Failure, made: u32) {
        let Said { id, worker, number } = said;
        if !self.attempts.is_live(id, number) {
            return;
        }
        assert!(made == 0 || how.is_after_first_token(), "{id} has tokens without a first one");
        self.attempts.end(id);
        self.attempts.counts.failed += 1;
        if !self.tries_again {
            self.tell_router(now, Input::Cancelled(id));
            self.works.remove(&id);
            self.attempts.forget(id);
            self.fail(now + self.hop, id, "its worker failed");
            return;
        }
        let work = self.works.get_mut(&id).expect("a request that has not ended");
        let asked = self.attempts.asked.get_mut(&id).expect("a request that has not ended");
        asked.delivered += made;
        *work = rest_of(work, made);
        let again = Some(work.request.clone());
        self.tell_router(now, Input::Failed { id, worker, how, again });
    }

    /// A time limit of an attempt has passed. Its worker is told to end it.
    pub(super) fn time_out(&mut self, now: Instant) {
        let Some(&(_, id)) = self.attempts.timers.first() else { return };
        let (_, how) = self.attempts.live[&id].timer.expect("a timer belongs to an attempt");
        self.end_attempt(now, id, how);
    }

    /// The router does not wait for an attempt any more. Its worker is told to end it.
    pub(super) fn end_attempt(&mut self, now: Instant, id: RequestId, how: Failure) {
        let attempt = &self.attempts.live[&id];
        let said = Said { id, worker: attempt.worker, number: attempt.number };
        // What the router has of the answer. The worker may have made more.
        let made = match attempt.answers {
            true => {
                let own = self.worker_faults.own(said.worker.0, now);
                let made = || self.engines[said.worker.0 as usize].made(own, id);
                attempt.seen.unwrap_or_else(made)
            }
            false => 0,
        };
        self.attempts.counts.timed_out += 1;
        self.post(now + self.hop, Message::Abort(id, said.worker));
        self.broke(now, said, how, made);
    }

    /// The router gives an attempt up before its first token.
    pub(super) fn abandon(&mut self, now: Instant, id: RequestId, worker: WorkerId) {
        if let Some(number) = self.attempts.number(id, worker) {
            self.attempts.counts.abandoned += 1;
            self.post(now + self.hop, Message::Abort(id, worker));
            self.broke(now, Said { id, worker, number }, Failure::NoFirstToken, 0);
        }
    }

    /// A worker hears that no client waits for a request any more.
    pub(super) fn aborted(&mut self, now: Instant, id: RequestId, worker: WorkerId) {
        let own = self.worker_faults.own(worker.0, now);
        self.engines[worker.0 as usize].cancel(own, id);
        self.leave_if_done(now, worker.0);
        self.refresh_wake(worker.0);
    }

    /// The router has the first token of an attempt.
    pub(super) fn first_token_came(&mut self, now: Instant, Said { id, worker, number }: Said) {
        if !self.attempts.is_live(id, number) {
            return;
        }
        self.attempts.disarm(id);
        if let Some(attempt) = self.attempts.live.get_mut(&id) {
            attempt.answers = true;
        }
        if self.worker_faults.of(worker.0).is_quiet() {
            self.attempts.arm(id, |limits, _| (now + limits.gap, Failure::Stalled));
        }
        let asked = self.attempts.asked.get_mut(&id).expect("a request that has not ended");
        if !core::mem::replace(&mut asked.answered, true) {
            self.recorder.first_token(now + self.hop, id);
        }
        self.tell_router(now, Input::FirstToken(id));
    }

    /// The router has the end of an answer.
    pub(super) fn answer_ended(
        &mut self,
        now: Instant,
        Said { id, worker, number }: Said,
        found: Cached,
        output_tokens: u32,
    ) {
        if !self.attempts.is_live(id, number) {
            return;
        }
        let asked = &self.attempts.asked[&id];
        let whole = asked.delivered + output_tokens;
        assert_eq!(whole, asked.output_tokens, "{id}: each token of an answer comes once");
        let own = cut_to(found, asked.prompt_tokens);
        self.attempts.forget(id);
        self.works.remove(&id);
        let ended = now + self.hop;
        self.recorder.finished(ended, id, worker, own);
        let (cached_tokens, by_origin) = (found.tokens, Some(found.by_tier));
        let output_tokens = Some(output_tokens);
        self.tell_router(now, Input::Finished { id, cached_tokens, by_origin, output_tokens });
        self.post(ended, Message::Ended(id));
    }

    /// Faults of workers begin or end.
    pub(super) fn change_workers(&mut self, now: Instant) {
        for (i, before, after) in self.worker_faults.change(now) {
            let worker = WorkerId(i);
            let ends_drain = before.draining && !after.draining;
            let had_left = ends_drain && self.worker_faults.set_left(i, false);
            // What a drain has not finished in time breaks off.
            let killed = ends_drain && !had_left && !before.gone;
            if killed || after.gone && !before.gone && !self.worker_faults.is_left(i) {
                self.crash(now, i);
            }
            if before.gone && !after.gone && self.feeds.is_none() {
                self.post(now + self.hop, Message::WorkerBack(worker));
            }
            if before.is_quiet() != after.is_quiet() {
                self.freeze(now, worker, after.is_quiet());
            }
            if !before.unreachable && after.unreachable {
                self.note_seen(now, worker);
            }
            self.feed_changed(now, i, &before, &after);
            self.leave_if_done(now, i);
            self.refresh_wake(i);
        }
    }

    /// Nothing more gets through: the router has what was made by now.
    fn note_seen(&mut self, now: Instant, worker: WorkerId) {
        let own = self.worker_faults.own(worker.0, now);
        for id in self.attempts.on_worker(worker) {
            let made = self.engines[worker.0 as usize].made(own, id);
            self.attempts.live.get_mut(&id).expect("it is live").seen = Some(made);
        }
    }

    /// A worker that was told to end does so when it has nothing left to do.
    pub(super) fn leave_if_done(&mut self, now: Instant, i: u32) {
        let condition = self.worker_faults.of(i);
        let done = condition.draining && !condition.frozen && !self.worker_faults.is_away(i);
        if done && self.engines[i as usize].is_idle() {
            self.worker_faults.set_left(i, true);
            self.end_life(now, i);
        }
    }

    /// Between two tokens of a frozen worker there is a gap, as its router sees it.
    fn freeze(&mut self, now: Instant, worker: WorkerId, frozen: bool) {
        for id in self.attempts.on_worker(worker) {
            if !self.attempts.live[&id].answers {
                continue;
            }
            match frozen {
                true => {
                    self.attempts.arm(id, |limits, _| (now + limits.gap, Failure::Stalled));
                }
                false => self.attempts.disarm(id),
            }
        }
    }

    /// A worker's process dies: its connections break, and its next life is empty.
    fn crash(&mut self, now: Instant, i: u32) {
        let (worker, own) = (WorkerId(i), self.worker_faults.own(i, now));
        self.lines[i as usize].break_calls();
        for id in self.attempts.on_worker(worker) {
            let attempt = self.attempts.live.get_mut(&id).expect("it is live");
            attempt.broken = true;
            let made = || self.engines[i as usize].made(own, id);
            let made = attempt.seen.unwrap_or_else(made);
            let how = if made > 0 { Failure::MidStream } else { Failure::BeforeFirstToken };
            self.breaks(now, (id, worker), how, made);
        }
        self.end_life(now, i);
    }

    /// There is no process of a worker any more. Its next life is empty.
    fn end_life(&mut self, now: Instant, i: u32) {
        let worker = WorkerId(i);
        let engine = &mut self.engines[i as usize];
        let epoch = engine.info().epoch;
        let next = Engine::new(worker, epoch + 1, Arc::clone(engine.profile()));
        let dead = core::mem::replace(engine, next);
        self.lost_engines.push((worker, dead.stats()));
        self.reports.retain(|&(_, other)| other != i);
        self.reporting[i as usize] = false;
        match self.feeds {
            Some(_) => self.feed_broke(now, i, epoch),
            None => self.post(now + self.hop, Message::WorkerGone(worker)),
        }
    }

    /// The router is connected to a worker's next life.
    pub(super) fn worker_back(&mut self, now: Instant, worker: WorkerId) {
        let info = self.beliefs.of(self.engines[worker.0 as usize].info());
        let (source, epoch) = (info.worker.into(), info.epoch);
        let empty = Snapshot { source, epoch, seq: 0, runs: Vec::new() };
        self.index.replace(&empty).expect("an empty snapshot has no parents to miss");
        self.tell_router(now, Input::Joined(info));
    }
}

/// What is left of a request when its client has `made` tokens more of the answer. They are a part of the
/// prompt then.
fn rest_of(work: &Work, made: u32) -> Work {
    let prompt_tokens = work.request.prompt.tokens() + made;
    let prompt = TokenBlocks::new(work.sequence.chain().clone(), prompt_tokens);
    let most = work.request.max_new_tokens.map(|most| most - made);
    let request = Request { prompt, max_new_tokens: most, ..work.request.clone() };
    Work { request, output_tokens: work.output_tokens - made, ..work.clone() }
}

/// A hit counts up to the prompt that the client sent. A resumed prompt is longer.
fn cut_to(found: Cached, prompt_tokens: u32) -> Cached {
    let mut left = prompt_tokens;
    let by_tier = found.by_tier.map(|tokens| {
        let counted = tokens.min(left);
        left -= counted;
        counted
    });
    Cached { tokens: found.tokens.min(prompt_tokens), by_tier }
}
