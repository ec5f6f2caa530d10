//! The engine on a thread of its own. It sleeps in its command channel until the next instant at
//! which something is due: the thread's timer is good to some 60 µs where tokio's ticks in
//! milliseconds, and a speedup multiplies every error.
//!
//! There is one wake-up key, worked out afresh after each turn. Before a command is handled, the
//! engine does what is due by then; the next step begins when the one before was due, so lateness
//! does not add up.

use crate::config::WorkerConfig;
use crate::feed::{Feed, FeedItem, Intervals};
use crate::metrics::WorkerMetrics;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant as WallInstant};
use tokio::sync::{mpsc, oneshot, watch};
use warmpath_core::engine::store::Hit;
use warmpath_core::engine::{Engine, Output, SubmitError};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::Work;
use warmpath_core::time::Duration as ModelDuration;
use warmpath_proto::clock::ModelClock;

/// Commands that are handled before the engine's time is looked at again.
const TURN: usize = 64;

#[derive(Debug)]
pub enum Command {
    Submit {
        work: Work,
        progress: watch::Sender<Progress>,
        reply: oneshot::Sender<Result<(), SubmitError>>,
    },
    /// Nobody waits for the answer any more.
    Cancel(RequestId),
    /// The answer is to end where it is.
    Abort(RequestId),
    Watch(mpsc::Sender<FeedItem>),
    /// Take no more requests; stop when idle, or at this instant.
    Drain(WallInstant),
}

/// How far an answer has come. A reader that is slow sees fewer, larger steps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Answer tokens made so far.
    pub made: u32,
    pub end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Finished { cached_tokens: u32, hit: Hit },
    Aborted,
}

#[derive(Debug)]
struct Stream {
    progress: watch::Sender<Progress>,
    output_tokens: u32,
    sent: u32,
}

#[derive(Debug)]
pub struct Driver {
    engine: Engine,
    clock: ModelClock,
    commands: Receiver<Command>,
    outputs: Vec<Output>,
    streams: HashMap<RequestId, Stream>,
    flush: Duration,
    /// While any stream is past its first token.
    next_flush: Option<WallInstant>,
    feed: Feed,
    metrics: WorkerMetrics,
    drain_until: Option<WallInstant>,
}

/// Starts the thread. It ends after a drain, or when every sender of commands is gone; `done` is
/// then told (a panic drops it).
pub fn start(
    config: &WorkerConfig,
    epoch: u64,
    done: oneshot::Sender<()>,
) -> std::io::Result<Sender<Command>> {
    let clock = ModelClock::starting_now(config.speedup);
    let (sender, commands) = std::sync::mpsc::channel();
    let intervals = Intervals {
        report: clock.wall_span(ModelDuration::from_millis(config.report_interval_ms)),
        heartbeat: Duration::from_millis(config.heartbeat_ms),
        digest: Duration::from_millis(config.digest_interval_ms),
    };
    let mut driver = Driver {
        engine: Engine::new(WorkerId(0), epoch, config.profile.clone()),
        clock,
        commands,
        outputs: Vec::new(),
        streams: HashMap::new(),
        flush: Duration::from_millis(config.flush_ms),
        next_flush: None,
        feed: Feed::new(WallInstant::now(), intervals),
        metrics: WorkerMetrics::new(config),
        drain_until: None,
    };
    let thread = std::thread::Builder::new().name(format!("engine-{}", config.name));
    thread.spawn(move || {
        driver.run();
        let _ = done.send(());
    })?;
    Ok(sender)
}

impl Driver {
    fn run(&mut self) {
        loop {
            let command = match self.next_wake() {
                Some(wake) => {
                    let wait = wake.saturating_duration_since(WallInstant::now());
                    match self.commands.recv_timeout(wait) {
                        Ok(command) => Some(command),
                        Err(RecvTimeoutError::Timeout) => None,
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
                None => match self.commands.recv() {
                    Ok(command) => Some(command),
                    Err(_) => return,
                },
            };
            self.advance();
            if let Some(command) = command {
                self.handle(command);
                for _ in 1..TURN {
                    let Ok(command) = self.commands.try_recv() else { break };
                    self.handle(command);
                }
            }
            self.announce_and_tell();
            if self.is_drained() {
                return;
            }
        }
    }

    fn next_wake(&self) -> Option<WallInstant> {
        let engine = self.engine.next_wake().map(|due| self.clock.wall(due));
        let feed = self.feed.next_wake();
        [engine, feed, self.next_flush, self.drain_until].into_iter().flatten().min()
    }

    /// Lets the engine do what is due, and passes on what came of it.
    fn advance(&mut self) {
        let wall = WallInstant::now();
        if let Some(due) = self.engine.next_wake().map(|due| self.clock.wall(due))
            && due <= wall
        {
            self.metrics.lateness(wall - due);
        }
        self.engine.step(self.clock.at(wall), &mut self.outputs);
        self.pass_on(wall);
        if self.next_flush.is_some_and(|due| due <= wall) {
            self.flush(wall);
        }
    }

    fn handle(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Submit { work, progress, reply } => {
                let (id, output_tokens) = (work.request.id, work.output_tokens);
                let prompt_tokens = work.request.prompt.tokens();
                let result = self.engine.submit(now, work);
                if result.is_ok() {
                    self.metrics.submitted(id, now, prompt_tokens, output_tokens);
                    self.streams.insert(id, Stream { progress, output_tokens, sent: 0 });
                }
                // Whoever asked may have gone away; then a cancel follows.
                let _ = reply.send(result);
            }
            Command::Cancel(id) => {
                self.engine.cancel(now, id);
                if self.streams.remove(&id).is_some() {
                    self.metrics.aborted(id);
                }
            }
            Command::Abort(id) => {
                self.engine.cancel(now, id);
                if let Some(stream) = self.streams.remove(&id) {
                    self.metrics.aborted(id);
                    let end = Some(End::Aborted);
                    stream.progress.send_replace(Progress { made: stream.sent, end });
                }
            }
            Command::Watch(watcher) => {
                self.engine.announce(now, &mut self.outputs);
                self.pass_on(WallInstant::now());
                self.feed.add(&self.engine, watcher);
            }
            Command::Drain(until) => {
                self.feed.drain();
                self.drain_until = Some(until);
            }
        }
        self.feed.touch();
    }

    fn announce_and_tell(&mut self) {
        let wall = WallInstant::now();
        self.engine.announce(self.clock.at(wall), &mut self.outputs);
        self.pass_on(wall);
        if self.feed.next_wake().is_some_and(|due| due <= wall) {
            self.feed.tick(wall, &self.engine);
        }
        self.metrics.observe(wall, &self.engine, &self.feed);
    }

    fn pass_on(&mut self, wall: WallInstant) {
        let mut outputs = std::mem::take(&mut self.outputs);
        if !outputs.is_empty() {
            self.feed.touch();
        }
        for output in outputs.drain(..) {
            self.metrics.output(&output);
            match output {
                Output::FirstToken { id, .. } => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.send(1);
                        self.next_flush.get_or_insert(wall + self.flush);
                    }
                }
                Output::Finished { id, cached_tokens, hit, .. } => {
                    if let Some(stream) = self.streams.remove(&id) {
                        let end = Some(End::Finished { cached_tokens, hit });
                        let made = stream.output_tokens;
                        stream.progress.send_replace(Progress { made, end });
                    }
                }
                Output::Kv { batch, .. } => self.feed.batch(batch),
                Output::Admitted { .. } => {}
                Output::Fetch { .. }
                | Output::Lent { .. }
                | Output::Put { .. }
                | Output::Prefilled { .. }
                | Output::Pull { .. }
                | Output::HandedOver { .. } => {
                    unreachable!("a profile that shares is refused at the start")
                }
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
        self.drain_until.is_some_and(|until| self.engine.is_idle() || until <= WallInstant::now())
    }
}

impl Stream {
    fn send(&mut self, made: u32) {
        if made > self.sent {
            self.sent = made;
            self.progress.send_replace(Progress { made, end: None });
        }
    }
}
