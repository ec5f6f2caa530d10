//! The engine on its thread: requests and transfers go in, answers and events come out.
//!
//! A step begins when the step before was due, not when the thread woke up. So lateness does not
//! add up.

use crate::command::{Command, End, How, Progress, Reset, Times};
use crate::config::WorkerConfig;
use crate::feed::{Feed, Intervals};
use crate::holding::Holding;
use crate::kv_events::KvEvents;
use crate::lateness::Lateness;
use crate::metrics::WorkerMetrics;
use crate::remote::Outbox;
use crate::sending::Sending;
use crate::surroundings::Surroundings;
use crate::turns::{self, Commands, Timed};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant as WallInstant};
use tokio::sync::{oneshot, watch};
use warmpath_core::engine::{Engine, Output, SubmitError};
use warmpath_core::id::{RequestId, TransferId, WorkerId};
use warmpath_core::request::Work;
use warmpath_core::time::{Duration as ModelDuration, Instant};
use warmpath_proto::clock::{self, ModelClock};
use warmpath_proto::transfer::Moved;

#[derive(Debug)]
struct Stream {
    progress: watch::Sender<Progress>,
    output_tokens: u32,
    sent: u32,
    times: Times,
}

struct Driver {
    engine: Engine,
    clock: ModelClock,
    /// The last instant that the engine was told. Its time never goes back.
    now: Instant,
    outputs: Vec<Output>,
    streams: HashMap<RequestId, Stream>,
    flush: Duration,
    /// Present while any stream is past its first token.
    next_flush: Option<WallInstant>,
    feed: Feed,
    kv_events: Option<KvEvents>,
    /// Takes what the engine wants from pools and other workers.
    outbox: Outbox,
    /// Blocks on their way here, by the instant they arrive.
    arriving: BTreeSet<(Instant, TransferId)>,
    serving: Sending,
    holding: Holding,
    /// KV on its way here from prefill workers, by the instant it arrives.
    landing: BTreeSet<(Instant, RequestId)>,
    /// The KV that came for requests under way.
    moved: HashMap<RequestId, Moved>,
    metrics: WorkerMetrics,
    lateness: Lateness,
    drain_until: Option<WallInstant>,
}

/// Starts the engine; see [`turns::start`].
pub fn start(
    config: &WorkerConfig,
    around: &Surroundings,
    (outbox, kv_events): (Outbox, Option<KvEvents>),
    done: oneshot::Sender<()>,
) -> std::io::Result<Commands<Command>> {
    let clock = ModelClock::starting_now(config.speedup);
    let intervals = Intervals {
        report: clock.wall_span(ModelDuration::from_millis(config.report_interval_ms)),
        heartbeat: Duration::from_millis(config.heartbeat_ms),
        digest: Duration::from_millis(config.digest_interval_ms),
    };
    let driver = Driver {
        engine: Engine::new(WorkerId(0), around.epoch, config.profile.clone())
            .with_role(config.role, config.kv_transfer),
        clock,
        now: Instant::START,
        outputs: Vec::new(),
        streams: HashMap::new(),
        flush: Duration::from_millis(config.flush_ms),
        next_flush: None,
        feed: Feed::new(clock::now(), intervals),
        kv_events,
        outbox,
        arriving: BTreeSet::new(),
        serving: Sending::default(),
        holding: Holding::default(),
        landing: BTreeSet::new(),
        moved: HashMap::new(),
        metrics: WorkerMetrics::new(config),
        lateness: around.lateness.clone(),
        drain_until: None,
    };
    turns::start((format!("engine-{}", config.name), around.place), driver, done)
}

impl Timed for Driver {
    type Command = Command;

    fn next_wake(&self) -> Option<WallInstant> {
        let arrival = self.arriving.first().map(|&(at, _)| at);
        let landing = self.landing.first().map(|&(at, _)| at);
        let due = [self.engine.next_wake(), arrival, landing].into_iter().flatten().min();
        let due = due.map(|due| self.clock.wall(due));
        [due, self.feed.next_wake(), self.next_flush, self.drain_until].into_iter().flatten().min()
    }

    /// Steps the engine through all that is due, and passes its outputs on.
    fn advance(&mut self) {
        let wall = clock::now();
        if let Some(due) = self.engine.next_wake().map(|due| self.clock.wall(due))
            && due <= wall
        {
            self.metrics.lateness(wall - due);
            self.lateness.add(wall - due);
            // A request that was cancelled is gone at the end of its step, and no output says so.
            self.feed.touch();
        }
        let now = self.clock.at(wall).max(self.now);
        while let Some(&(at, id)) = self.arriving.first().filter(|&&(at, _)| at <= now) {
            self.arriving.remove(&(at, id));
            let at = at.max(self.now);
            self.engine.step(at, &mut self.outputs);
            self.engine.on_transfer(at, id, Ok(()));
            self.now = at;
        }
        while let Some(&(at, id)) = self.landing.first().filter(|&&(at, _)| at <= now) {
            self.landing.remove(&(at, id));
            let at = at.max(self.now);
            self.engine.step(at, &mut self.outputs);
            self.engine.kv_transfer_ended(at, id, Ok(()));
            self.now = at;
        }
        self.engine.step(now, &mut self.outputs);
        self.now = now;
        self.pass_on(wall);
        if self.next_flush.is_some_and(|due| due <= wall) {
            self.flush(wall);
        }
    }

    fn handle(&mut self, command: Command) {
        let now = self.clock.now().max(self.now);
        self.now = now;
        match command {
            Command::Submit { work, how, progress, reply } => {
                let id = work.request.id;
                // A prefill for another worker makes one token.
                let computes = matches!(how, How::Compute(..));
                let output_tokens = if computes { 1 } else { work.output_tokens };
                let prompt_tokens = work.request.prompt.tokens();
                let result = self.submit(now, *work, how);
                if result.is_ok() {
                    self.metrics.submitted(id, now, prompt_tokens, output_tokens);
                    let times = Times::default();
                    self.streams.insert(id, Stream { progress, output_tokens, sent: 0, times });
                }
                // The client may be gone. Then a cancel follows.
                let _ = reply.send(result);
            }
            Command::Cancel(id) => {
                self.cancel(now, id);
                if self.streams.remove(&id).is_some() {
                    self.metrics.aborted(id);
                }
            }
            Command::Abort(id) => {
                self.cancel(now, id);
                if let Some(stream) = self.streams.remove(&id) {
                    self.metrics.aborted(id);
                    stream.end(stream.sent, End::Aborted, None);
                }
            }
            Command::Fetched { id, due: Ok(due) } => {
                self.arriving.insert((due.max(now), id));
            }
            Command::Fetched { id, due: Err(error) } => {
                self.engine.on_transfer(now, id, Err(error))
            }
            Command::ServeFetch { run, reply } => {
                let engine = &mut self.engine;
                let blocks = run.len();
                let served =
                    self.serving.begin(now, reply, |key| engine.serve_fetch(now, key, &run));
                self.metrics.sent_to_peers(if served { blocks } else { 0 });
            }
            Command::SendKv { name, tokens, reply } => {
                let engine = &mut self.engine;
                let begin = |id| engine.send_kv(now, id, WorkerId(0), tokens);
                self.holding.send_kv(now, &name, reply, begin);
            }
            Command::Release(name) => {
                if let Some(id) = self.holding.release(&name) {
                    self.engine.cancel(now, id);
                }
            }
            Command::Handed { id, came: Ok((due, moved)) } => {
                self.metrics.kv_transfers.ended(Some(moved));
                self.metrics.handed(id, moved.tokens);
                if self.streams.contains_key(&id) {
                    self.moved.insert(id, moved);
                    self.landing.insert((due.max(now), id));
                }
            }
            Command::Handed { id, came: Err(error) } => {
                self.metrics.kv_transfers.ended(None);
                self.engine.kv_transfer_ended(now, id, Err(error));
            }
            Command::Reset { external, reply } => {
                let dropped = self.engine.reset_cache(external);
                let held = self.engine.store().held_blocks();
                // The caller may be gone.
                let _ = reply.send(Reset { dropped, held });
            }
            Command::Load(reply) => {
                // The caller may be gone.
                let _ = reply.send(self.engine.load_report());
            }
            Command::Watch(watcher) => {
                self.engine.announce(now, &mut self.outputs);
                self.pass_on(clock::now());
                self.feed.add(&self.engine, watcher);
            }
            Command::Drain(until) => {
                self.feed.drain();
                self.drain_until = Some(until);
            }
        }
        self.feed.touch();
    }

    fn end_turn(&mut self) -> bool {
        let wall = clock::now();
        let now = self.clock.at(wall).max(self.now);
        self.engine.announce(now, &mut self.outputs);
        self.pass_on(wall);
        if self.feed.next_wake().is_some_and(|due| due <= wall) {
            self.feed.tick(wall, &self.engine);
        }
        self.metrics.observe(wall, &self.engine, &self.feed);
        !self.is_drained()
    }
}

impl Driver {
    fn submit(&mut self, now: Instant, work: Work, how: How) -> Result<(), SubmitError> {
        match how {
            How::Alone(offers) => self.engine.submit_offered(now, work, &offers),
            How::Answer => self.engine.submit_handed(now, work, WorkerId(0)),
            How::Compute(name, offers) => {
                let id = work.request.id;
                self.engine.submit_prefill(now, work, &offers)?;
                self.holding.compute(id, name);
                Ok(())
            }
        }
    }

    fn cancel(&mut self, now: Instant, id: RequestId) {
        self.engine.cancel(now, id);
        self.holding.cancel(id);
        self.moved.remove(&id);
        self.landing.retain(|&(_, other)| other != id);
    }

    fn pass_on(&mut self, wall: WallInstant) {
        let mut outputs = std::mem::take(&mut self.outputs);
        if !outputs.is_empty() {
            self.feed.touch();
        }
        for output in outputs.drain(..) {
            self.metrics.output(&output, |id| self.engine.hit(id));
            match output {
                Output::FirstToken { id, at } => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.times.first_token = Some(self.clock.wall(at));
                        stream.send(1);
                        self.next_flush.get_or_insert(wall + self.flush);
                    }
                }
                Output::Finished { id, at, cached_tokens, hit, .. } => {
                    if let Some(stream) = self.streams.remove(&id) {
                        let moved = self.moved.remove(&id);
                        let end = End::Finished { cached_tokens, hit, moved };
                        stream.end(stream.output_tokens, end, Some(self.clock.wall(at)));
                    }
                }
                Output::Kv { batch, .. } => {
                    if let Some(events) = &self.kv_events {
                        events.batch(&batch);
                    }
                    self.feed.batch(batch);
                }
                Output::Admitted { id, at, .. } => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.times.admitted = Some(self.clock.wall(at));
                    }
                }
                Output::Fetch { at, fetch } => self.outbox.fetch(at, fetch),
                Output::Put { run, owner, .. } => self.outbox.put(run, owner),
                Output::FetchServed { at, key } => self.serving.end(at, key),
                Output::Prefilled { id, at, cached_tokens, hit } => {
                    self.holding.computed(id, &self.engine);
                    if let Some(stream) = self.streams.remove(&id) {
                        let end = End::Held { cached_tokens, hit };
                        stream.end(1, end, Some(self.clock.wall(at)));
                    }
                }
                Output::Pull { at, id, tokens, .. } => self.outbox.pull(at, id, tokens),
                Output::KvSent { at, id, .. } => self.holding.left(at, id),
            }
        }
        self.outputs = outputs;
    }

    fn flush(&mut self, wall: WallInstant) {
        let (streams, metrics) = (&mut self.streams, &mut self.metrics);
        let now = self.clock.at(wall);
        let mut decoding = false;
        self.engine.progress(now, |id, made| {
            if let Some(stream) = streams.get_mut(&id) {
                decoding = true;
                // The last token goes out with the finish.
                let made = made.min(stream.output_tokens - 1);
                stream.send(made);
                metrics.progress(id, now, made);
            }
        });
        self.next_flush = decoding.then(|| wall + self.flush);
    }

    fn is_drained(&self) -> bool {
        let is_done = || {
            let sends = !self.serving.is_empty() || self.holding.is_wanted(&self.engine);
            self.engine.is_idle() && !sends
        };
        self.drain_until.is_some_and(|until| until <= clock::now() || is_done())
    }
}

impl Stream {
    fn send(&mut self, made: u32) {
        if made > self.sent {
            self.sent = made;
            self.progress.send_replace(Progress { made, end: None, times: self.times });
        }
    }

    /// `at`: when the engine was done. None: it was told to stop.
    fn end(&self, made: u32, end: End, at: Option<WallInstant>) {
        let times = Times { ended: at, ..self.times };
        self.progress.send_replace(Progress { made, end: Some(end), times });
    }
}
