//! The feeds of workers, message by message: what a router's shell and a worker's feed do on the wire. Which
//! message shows a gap, and how long is waited, is the core's.

use super::state::World;
use crate::feeds::{
    DIGEST, Fate, FeedItem, FeedMessage, FeedPart, HEARTBEAT, SILENCE, State, Timer, empty,
};
use crate::messages::{Link, Message};
use crate::worker_faults::WorkerCondition;
use warmpath_core::block::BlockRun;
use warmpath_core::engine::Output;
use warmpath_core::event::KvBatch;
use warmpath_core::id::{RequestId, SourceId, WorkerId};
use warmpath_core::routing::feed::Backoff;
use warmpath_core::routing::index::{Mismatch, Overlap};
use warmpath_core::routing::input::{Decision, Failure, Input};
use warmpath_core::time::{Duration, Instant};

impl World<'_> {
    /// A worker announces a batch of its changes.
    pub(super) fn announced(&mut self, at: Instant, i: u32, batch: KvBatch) {
        let Some(feeds) = &mut self.feeds else {
            self.post(at + self.of_events, Message::Kv(batch));
            return;
        };
        feeds.announced(i, &batch, self.worker_faults.of(i) == WorkerCondition::SOUND);
        feeds.wake(self.now, i);
        self.say(at, i, FeedItem::Batch(batch));
    }

    /// A worker says something on its feed, if a router listens.
    pub(super) fn say(&mut self, at: Instant, i: u32, item: FeedItem) {
        let condition = self.worker_faults.of(i).feed;
        let Some(feeds) = &mut self.feeds else { return };
        let Some(connection) = feeds.get(i).watched else { return };
        let send = |world: &mut Self, late: Duration, item| {
            let what = FeedPart::Item(item);
            let message = FeedMessage { worker: WorkerId(i), connection, what };
            world.post(at.max(world.now) + world.of_events + late, Message::Feed(message));
        };
        // The announcement is a part of opening the connection.
        let fate = match item {
            FeedItem::Hello(_) => Fate::Sound,
            _ => feeds.fate(i, &condition),
        };
        match fate {
            Fate::Lost => {}
            Fate::Doubled => {
                send(self, Duration::ZERO, item.clone());
                send(self, Duration::ZERO, item);
            }
            Fate::Late(late) => send(self, late, item),
            Fate::Sound => send(self, Duration::ZERO, item),
        }
    }

    /// A message of a feed arrives.
    pub(super) fn on_feed(&mut self, now: Instant, message: FeedMessage) {
        let FeedMessage { worker, connection, what } = message;
        if let FeedPart::Open = what {
            self.opened(now, worker.0, connection);
            return;
        }
        let Some(feeds) = &mut self.feeds else { return };
        let feed = feeds.get(worker.0);
        if feed.connection != connection || feed.state == State::Closed {
            return;
        }
        feed.heard = now;
        match what {
            FeedPart::Open => {}
            FeedPart::Closed => self.lose(now, worker.0),
            FeedPart::Item(item) => self.heard(now, worker, item),
        }
        self.look_at_index(now, worker.0);
    }

    /// The router opens a feed at a worker.
    fn opened(&mut self, now: Instant, i: u32, connection: u32) {
        let worker = WorkerId(i);
        if self.worker_faults.is_away(i) {
            let closed = FeedMessage { worker, connection, what: FeedPart::Closed };
            self.post(now + self.hop, Message::Feed(closed));
            return;
        }
        if self.worker_faults.of(i).frozen {
            return;
        }
        let mut outputs = Vec::new();
        let own = self.worker_faults.own(i, now);
        self.engines[i as usize].announce(own, &mut outputs);
        for output in outputs {
            match output {
                Output::Kv { batch, .. } => self.announced(now, i, batch),
                Output::Put { run, owner, .. } => self.post(now, Message::Put(run, owner)),
                _ => {}
            }
        }
        let Some(feeds) = &mut self.feeds else { return };
        feeds.get(i).watched = Some(connection);
        feeds.wake(now, i);
        let engine = &self.engines[i as usize];
        let (info, snapshot) =
            (self.beliefs.of(engine.info()), engine.snapshot().expect("changes were announced"));
        self.say(now, i, FeedItem::Hello(info));
        self.say(now, i, FeedItem::Snapshot(snapshot));
        self.beat(now, i, true);
        if self.worker_faults.of(i).draining {
            self.say(now, i, FeedItem::Draining);
        }
    }

    /// The router hears what a worker says.
    fn heard(&mut self, now: Instant, worker: WorkerId, item: FeedItem) {
        let source = SourceId::from(worker);
        let Some(feeds) = &mut self.feeds else { return };
        match item {
            FeedItem::Hello(info) => {
                let feed = feeds.get(worker.0);
                feed.state = State::Open;
                if feed.epoch == Some(info.epoch) {
                    return;
                }
                feed.backoff.reset();
                self.forget(now, worker);
                let Some(feeds) = &mut self.feeds else { return };
                feeds.get(worker.0).epoch = Some(info.epoch);
                self.tell_router(now, Input::Joined(info));
            }
            FeedItem::Snapshot(snapshot) => {
                let whole = self.index.replace(&snapshot);
                whole.expect("a snapshot has whole prefixes");
            }
            FeedItem::Batch(batch) => {
                if self.index.apply(&batch).is_err() {
                    self.resync(now, worker.0, false);
                }
            }
            FeedItem::Heartbeat { epoch, seq, digest } => {
                let of = (epoch, seq);
                let same =
                    digest.map_or(Ok(()), |digest| self.index.check_digest(source, of, digest));
                match same.and_then(|()| self.index.check_heartbeat(source, of)) {
                    Ok(()) => feeds.get(worker.0).confirmed = Some(of),
                    Err(Mismatch::Behind { .. }) => self.resync(now, worker.0, false),
                    Err(Mismatch::Differs { .. }) => self.resync(now, worker.0, true),
                }
            }
            FeedItem::Load(report) => self.tell_router(now, Input::Load(report)),
            FeedItem::Draining => self.tell_router(now, Input::Draining(worker)),
        }
    }

    /// The router opens the feed again for a new snapshot. What it knows stays until then.
    fn resync(&mut self, now: Instant, i: u32, wrong_digest: bool) {
        let Some(feeds) = self.feeds.as_mut().filter(|feeds| feeds.resyncs) else { return };
        match wrong_digest {
            true => feeds.counts.wrong_digests += 1,
            false => feeds.counts.gaps += 1,
        }
        feeds.get(i).state = State::Closed;
        feeds.arm(now + Duration::from_millis(Backoff::RESYNC_MS), i, Timer::Reopen);
    }

    /// The router does not reach a worker any more, or not yet.
    fn lose(&mut self, now: Instant, i: u32) {
        let waits = self.tries_again;
        let Some(feeds) = &mut self.feeds else { return };
        let feed = feeds.get(i);
        feed.state = State::Closed;
        feed.was_lost = true;
        let wait = feed.backoff.lost_ms();
        let followed = feed.epoch.is_some();
        feeds.arm(now + Duration::from_millis(wait), i, Timer::Reopen);
        if followed {
            feeds.counts.lost_workers += 1;
            if waits {
                feeds.arm(now + SILENCE, i, Timer::GiveUp);
            }
        }
        self.forget(now, WorkerId(i));
    }

    /// A life of a worker is over, as the router sees it.
    fn forget(&mut self, now: Instant, worker: WorkerId) {
        let Some(feeds) = &mut self.feeds else { return };
        let feed = feeds.get(worker.0);
        let Some(epoch) = feed.epoch.take() else { return };
        if let Some((died, _)) = feed.died.take_if(|(_, dead)| *dead == epoch) {
            let longest = &mut feeds.counts.longest_stale;
            *longest = (*longest).max(now.since(died));
        }
        self.index.forget(worker.into());
        self.tell_router(now, Input::Lost(worker.into()));
    }

    /// A timer of a feed is due.
    pub(super) fn feed_timer(&mut self, now: Instant) {
        let Some(feeds) = &mut self.feeds else { return };
        let Some((i, timer)) = feeds.take_timer() else { return };
        match timer {
            Timer::Beat => self.beat(now, i, false),
            Timer::Silence => {
                let feed = feeds.get(i);
                feed.listening = false;
                if !feed.listens() || !feed.beating && feed.state == State::Open {
                    return;
                }
                let until = feed.heard + SILENCE;
                if until <= now {
                    self.lose(now, i);
                } else {
                    feed.listening = true;
                    feeds.arm(until, i, Timer::Silence);
                }
            }
            Timer::Reopen => {
                let feed = feeds.get(i);
                feed.connection += 1;
                feed.state = State::Opening;
                let (worker, connection) = (WorkerId(i), feed.connection);
                feeds.listen(now, i);
                let open = FeedMessage { worker, connection, what: FeedPart::Open };
                self.post(now + self.hop, Message::Feed(open));
            }
            Timer::GiveUp => self.give_up(now, i),
        }
    }

    /// A worker's heartbeat is due. `extra`: it is the one after a snapshot.
    fn beat(&mut self, now: Instant, i: u32, extra: bool) {
        let condition = self.worker_faults.of(i);
        let speaks = !condition.frozen && !self.worker_faults.is_away(i);
        let engine = &self.engines[i as usize];
        let report = engine.load_report();
        let of = (report.epoch, report.seq);
        let Some(feeds) = &mut self.feeds else { return };
        let resyncs = feeds.resyncs;
        let feed = feeds.get(i);
        if speaks && feed.watched.is_some() {
            let due = extra || feed.digested != Some(of) && now >= feed.next_digest;
            let digest = due.then(|| engine.digest()).flatten();
            if digest.is_some() {
                feed.digested = Some(of);
                feed.next_digest = now + DIGEST;
            }
            let (epoch, seq) = of;
            self.say(now, i, FeedItem::Heartbeat { epoch, seq, digest });
        }
        if extra {
            return;
        }
        let Some(feeds) = &mut self.feeds else { return };
        let feed = feeds.get(i);
        let known = feed.confirmed == Some(of) || !resyncs;
        let ends = condition == WorkerCondition::SOUND
            && feed.state == State::Open
            && feed.digested == Some(of)
            && known;
        feed.beating = !ends;
        if !ends {
            feeds.arm(now + HEARTBEAT, i, Timer::Beat);
        }
    }

    /// The process of a worker has died, or ended.
    pub(super) fn feed_broke(&mut self, now: Instant, i: u32, epoch: u64) {
        let Some(feeds) = &mut self.feeds else { return };
        let feed = feeds.get(i);
        if feed.epoch == Some(epoch) {
            feed.died = Some((now, epoch));
        }
        feeds
            .truth
            .replace(&empty(i, epoch + 1))
            .expect("an empty snapshot has no parents to miss");
        feeds.wake(now, i);
        if let Some(connection) = feeds.get(i).watched.take() {
            let what = FeedPart::Closed;
            let message = FeedMessage { worker: WorkerId(i), connection, what };
            self.post(now + self.hop, Message::Feed(message));
        }
    }

    /// The condition of a worker changes: what gets through, and since when its index should be right.
    pub(super) fn feed_changed(
        &mut self,
        now: Instant,
        i: u32,
        before: &WorkerCondition,
        after: &WorkerCondition,
    ) {
        let Some(feeds) = &mut self.feeds else { return };
        feeds.wake(now, i);
        let feed = feeds.get(i);
        feed.confirmed = None;
        feed.known.clear();
        // While a fault lasts, it is not known when it will be right.
        feed.sound_since = Some(now);
        feed.was_lost = feed.epoch.is_none();
        if *after == WorkerCondition::SOUND {
            feeds.note_truth(i);
        }
        let worker = WorkerId(i);
        let links = [
            (Link::Calls, before.unreachable, after.unreachable),
            (Link::Feed, before.is_feed_cut(), after.is_feed_cut()),
        ];
        // What was sent before still arrives, and all that arrives later waits.
        for (link, before, after) in links {
            if before != after {
                self.post(now + self.hop, Message::Link(worker, link, after));
            }
        }
        if !before.draining && after.draining {
            self.say(now, i, FeedItem::Draining);
        }
        self.look_at_index(now, i);
    }

    /// Whether the index has what a worker had after the same batch, now that the worker's faults are over.
    fn look_at_index(&mut self, now: Instant, i: u32) {
        if self.worker_faults.of(i) != WorkerCondition::SOUND {
            return;
        }
        let source = SourceId::from(WorkerId(i));
        let Some(feeds) = &mut self.feeds else { return };
        let feed = feeds.get(i);
        let Some(since) = feed.sound_since else { return };
        let Some(of) = self.index.position(source) else { return };
        let Some(&digest) = feed.known.get(&of) else { return };
        if self.index.digest(source) != digest {
            return;
        }
        feed.sound_since = None;
        feed.known.clear();
        let took = now.since(since);
        let longest = match feed.was_lost {
            true => &mut feeds.counts.longest_lost,
            false => &mut feeds.counts.longest_wrong,
        };
        *longest = (*longest).max(took);
    }

    /// The router still has not got a lost worker back. Answers of which it hears nothing are given up.
    fn give_up(&mut self, now: Instant, i: u32) {
        let quiet = self.worker_faults.of(i).is_quiet();
        let Some(feeds) = &mut self.feeds else { return };
        if feeds.get(i).epoch.is_some() {
            return;
        }
        feeds.arm(now + SILENCE, i, Timer::GiveUp);
        let worker = WorkerId(i);
        for id in self.attempts.on_worker(worker) {
            let attempt = &self.attempts.live[&id];
            let (how, silent) = match attempt.answers {
                true => (Failure::MidStream, quiet),
                false => (Failure::BeforeFirstToken, attempt.begun + SILENCE <= now),
            };
            if silent {
                self.end_attempt(now, id, how);
            }
        }
    }

    /// A rule's decision: whether the worker has what the index says of it.
    pub(super) fn credit(&mut self, id: RequestId, decision: &Decision) {
        let Some(feeds) = &mut self.feeds else { return };
        let source = SourceId::from(decision.worker);
        let at = self.index.position(source);
        let feed = feeds.get(decision.worker.0);
        assert!(
            at.is_none_or(|(epoch, _)| feed.epoch == Some(epoch)),
            "{source:?}: the index has blocks of epoch {at:?}, the router follows {:?}",
            feed.epoch
        );
        if decision.overlap.is_none() {
            return;
        }
        let Some(work) = self.works.get(&id) else { return };
        let prompt = &work.request.prompt;
        let mut overlap = Overlap::default();
        self.index.overlap(prompt, &mut overlap);
        let expected = overlap.get(source).map_or(0, |entry| entry.resident());
        let (start, end) = (0, prompt.reusable_blocks());
        let run = BlockRun { chain: prompt.chain().clone(), start, end };
        let has = self.engines[decision.worker.0 as usize].store().present(&run);
        let wrong = u64::from(expected > has);
        match feeds.is_troubled() {
            true => {
                feeds.counts.troubled += 1;
                feeds.counts.troubled_wrong += wrong;
            }
            false => {
                feeds.counts.steady += 1;
                feeds.counts.steady_wrong += wrong;
            }
        }
    }
}
