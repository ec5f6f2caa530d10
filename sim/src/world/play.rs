//! Plays a world: asks every part for its next instant, takes the least, and does what is due.

use super::outcome::{Outcome, RunError};
use super::state::World;
use crate::checkers;
use crate::devices::Devices;
use crate::feeds::Feeds;
use crate::messages::Message;
use crate::pool::POOL;
use warmpath_core::engine::{Engine, SubmitError};
use warmpath_core::id::RequestId;
use warmpath_core::request::Work;
use warmpath_core::routing::input::{Decision, Input};
use warmpath_core::time::{Duration, Instant};

/// So long after the last request, none comes any more.
const QUIET: Duration = Duration::from_millis(1_000);

impl World<'_> {
    pub fn run(mut self) -> Result<Outcome, RunError> {
        while let Some(now) = self.next_instant() {
            self.events += 1;
            self.now = now;
            self.look(now);
            self.end_faults_that_last(now);
            if let Some(message) = self.messages.take(now) {
                if let Some(message) = self.through(message) {
                    self.deliver(now, message);
                }
            } else if let Some((at, i)) = self.wakes.first()
                && at <= now
            {
                self.step(now, i);
            } else if self.worker_faults.next_change().is_some_and(|at| at <= now) {
                self.change_workers(now);
            } else if self.next_feed_timer().is_some_and(|at| at <= now) {
                self.feed_timer(now);
            } else if self.attempts.next_timer().is_some_and(|at| at <= now) {
                self.time_out(now);
            } else if self.pool.next_wake().is_some_and(|at| at <= now) {
                self.step_pool(now);
            } else if let Some(devices) = self.devices.as_mut().filter(|d| d.is_due(now)) {
                for (at, id) in devices.step(now) {
                    self.post(at, Message::Ended(id));
                }
            } else if let Some(&(at, i)) = self.reports.first()
                && at <= now
            {
                self.report(now, i);
            } else if let Some((at, work)) = self.workload.send(now) {
                self.send(at, work);
            } else {
                self.tell_router(now, Input::Tick);
            }
            if self.events.is_multiple_of(4096)
                && let Some(give_up) = &mut self.observers.give_up
                && give_up(&self.recorder)
            {
                return Err(RunError::GivenUp);
            }
            if self.events.is_multiple_of(4096)
                && let Some(progress) = &mut self.observers.progress
            {
                progress(self.recorder.ended() + self.devices.as_ref().map_or(0, Devices::ended));
            }
        }
        let Self { routers, index, engines, recorder, .. } = &self;
        checkers::at_rest(routers, index, engines, self.pool.now(), recorder);
        self.attempts.check_at_rest();
        if let Some(feeds) = &self.feeds {
            feeds.check_at_rest();
        }
        let devices = self.devices.map(Devices::into_outcome);
        let elsewhere = devices.as_ref().map_or(0, |devices| devices.recorder.ended());
        checkers::all_sent(&self.workload, self.recorder.ended() + elsewhere);
        Ok(Outcome {
            recorder: self.recorder,
            devices,
            engines: self.engines.iter().map(Engine::stats).collect(),
            lost_engines: self.lost_engines,
            attempts: self.attempts.counts,
            feeds: self.feeds.map(|feeds| feeds.counts),
            kv_transfers: self.engines.iter().map(Engine::kv_transfer_stats).collect(),
            peer_sends: self.engines.iter().map(Engine::peer_send_stats).collect(),
            pool: self.pool.stats(),
            failed_fetches: self.failed_fetches.of(&self.engines),
            resident: self.index.copies(),
            overlap_blocks: self.overlap_blocks,
            held: self.held,
            events: self.events,
        })
    }

    /// Once no request has been left for a while, faults that would last forever end, so that the world comes to rest.
    fn end_faults_that_last(&mut self, now: Instant) {
        if !self.worker_faults.last_forever() {
            return;
        }
        if !self.works.is_empty() || self.workload.next_send().is_some() {
            self.worked = now;
        }
        // A client that hears the end of an answer may send the next request.
        let quiet = QUIET + self.hop + self.hop;
        if now.since(self.worked) > quiet {
            self.worker_faults.end_those_that_last(now);
        }
    }

    fn next_instant(&self) -> Option<Instant> {
        let message = self.messages.next_arrival();
        let engine = self.wakes.first().map(|(at, _)| at);
        let report = self.reports.first().map(|&(at, _)| at);
        let (pool, sends) = (self.pool.next_wake(), self.workload.next_send());
        let devices = self.devices.as_ref().and_then(Devices::next_wake);
        let (timer, change) = (self.attempts.next_timer(), self.worker_faults.next_change());
        let (feed, router) = (self.next_feed_timer(), self.routers.next_wake());
        let all = [message, engine, pool, devices, report, sends, router, timer, change, feed];
        Instant::earliest(all)
    }

    fn next_feed_timer(&self) -> Option<Instant> {
        self.feeds.as_ref().and_then(Feeds::next_timer)
    }

    fn send(&mut self, at: Instant, work: Work) {
        if let Some(devices) = self.devices.as_mut().filter(|devices| devices.take(&work)) {
            if let Some(refused) = devices.send(at, work) {
                self.post(at, Message::Ended(refused));
            }
            return;
        }
        if let Some(sent) = &mut self.observers.sent {
            sent(at, &work);
        }
        let (id, session, tenant) = (work.request.id, work.request.session, work.request.tenant);
        self.recorder.sent(at, id, work.request.prompt.tokens(), work.output_tokens);
        self.recorder.described(at, id, session, tenant);
        self.recorder.set_tenant(id, tenant, work.known);
        self.attempts.asked(&work);
        self.works.insert(id, work);
        self.post(at + self.hop, Message::Request(id));
    }

    pub(super) fn deliver(&mut self, now: Instant, message: Message) {
        match message {
            Message::Request(id) => {
                let request = self.works[&id].request.clone();
                self.tell_router(now, Input::Arrived(request));
            }
            Message::Dispatched(id, decision) => {
                let done = match decision.decode {
                    Some(decode) => self.prefill(now, id, &decision, decode),
                    None => self.dispatch(now, id, &decision),
                };
                if let Err(error) = done {
                    self.refuse(now, id, error);
                }
            }
            Message::Transfer(message) => self.transfer(now, message),
            Message::Router(input) => self.tell_router(now, input),
            Message::Kv(batch) => {
                self.index.apply(&batch).expect("this network loses and reorders nothing");
            }
            Message::Pool(Some(snapshot)) => {
                self.index.replace(&snapshot).expect("it holds whole prefixes");
            }
            Message::Pool(None) => {
                self.index.forget(POOL.into());
                self.tell_router(now, Input::Lost(POOL.into()));
            }
            Message::FirstToken(said) => self.first_token_came(now, said),
            Message::Answered(said, found, output_tokens) => {
                self.answer_ended(now, said, found, output_tokens);
            }
            Message::Broke(said, how, made) => self.broke(now, said, how, made),
            Message::Abort(id, worker) => self.aborted(now, id, worker),
            Message::WorkerGone(worker) => {
                self.index.forget(worker.into());
                self.tell_router(now, Input::Lost(worker.into()));
            }
            Message::WorkerBack(worker) => self.worker_back(now, worker),
            Message::Feed(message) => self.on_feed(now, message),
            Message::Link(worker, link, cut) => self.link_changed(now, worker, link, cut),
            Message::Ended(id) => self.workload.on_ended(now, id),
            Message::Fetch(worker, fetch) => self.fetch(now, worker, &fetch),
            Message::Fetched(worker, id, result) => {
                let engine = &mut self.engines[worker.0 as usize];
                if let Err(why) = result
                    && engine.store().awaits(id)
                {
                    self.failed_fetches.count(why);
                }
                engine.on_transfer(now, id, result);
                self.refresh_wake(worker.0);
            }
            Message::Put(run, owner) => self.pool.put(now, &run, owner),
        }
    }

    fn dispatch(
        &mut self,
        now: Instant,
        id: RequestId,
        decision: &Decision,
    ) -> Result<(), SubmitError> {
        let worker = decision.worker;
        let work = match self.attempts.on {
            // It may be needed again.
            true => self.works.get(&id).cloned(),
            false => self.works.remove(&id),
        };
        // None: the router gave this attempt up, and the next one is over already.
        let Some(work) = work else {
            assert!(self.attempts.on, "a request is dispatched once");
            return Ok(());
        };
        self.recorder.placed(id, worker);
        if self.attempts.on && !self.reaches(now, id, worker) {
            return Ok(());
        }
        let own = self.worker_faults.own(worker.0, now);
        let engine = &mut self.engines[worker.0 as usize];
        let offers = self.pool.offers(engine, &work.request.prompt, decision.pull);
        engine.submit_offered(own, work, &offers)?;
        self.refresh_wake(worker.0);
        Ok(())
    }
}
