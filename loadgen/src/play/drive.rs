//! The live client: sends a workload to a router and records the answers.
//!
//! The schedule has its own thread, since a speedup multiplies every error of the wall clock and
//! tokio's timers tick in milliseconds. Latency counts from the time at which a request was due, not
//! from the time at which it was sent.

use super::client::{Address, Ask, Connection, Ended, Heard};
use crate::figures::{LiveFigures, LiveKvTransfer, Slowest, wire_name};
use crate::play::identities::Identities;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::report::{Recorder, Spread};
use warmpath_core::request::{Request, Work};
use warmpath_core::time::Instant as ModelInstant;
use warmpath_core::workload::Workload;
use warmpath_proto::clock::ModelClock;
use warmpath_proto::status;

/// Connections to each router over gRPC. One is a bottleneck and a single point of failure. More than a
/// few gain nothing on loopback. Over HTTP each request under way has its own.
const CONNECTIONS: usize = 4;
/// Wall time that an interrupted run waits for answers that have begun.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub speedup: f64,
    /// Whether each answer must be the token stream that its prompt determines.
    pub check_tokens: bool,
    /// Wall time after which a request counts as failed.
    pub timeout: Duration,
    /// Mixed into every text and into every request id.
    pub nonce: Option<u32>,
    /// Whether the recorder keeps one row per request.
    pub rows: bool,
}

#[derive(Debug)]
pub struct Driven {
    pub recorder: Recorder,
    pub live: LiveFigures,
    /// The start of model time.
    pub began: Instant,
}

/// Sends the whole workload and waits for every answer. Several routers get the requests in turn. When `interrupt` ends, nothing more is sent,
/// and answers that have begun have [`DRAIN_LIMIT`] to end. `progress` gets the number of ended
/// requests.
pub async fn drive(
    targets: &[Address],
    workload: Workload,
    options: Options,
    identities: Identities,
    interrupt: impl Future<Output = ()> + Send + 'static,
    progress: impl Fn(u64) + Send + 'static,
) -> Result<Driven> {
    let mut connections = Vec::new();
    // One connection to each router after the other: so the requests go to them in turn.
    for target in (0..CONNECTIONS).flat_map(|_| targets) {
        connections.push(Connection::open(target).await?);
    }
    let runtime = tokio::runtime::Handle::current();
    let mut shared = Shared::default();
    if options.rows {
        shared.recorder.keep_rows();
    }
    let shared = Arc::new(Mutex::new(shared));
    let (give_up, given_up) = watch::channel(false);
    let shares = Arc::clone(&shared);
    let context = Client { connections, options, identities, given_up, shared: shares };
    let (events, heard) = mpsc::channel();
    let interrupted = events.clone();
    let listening = tokio::spawn(async move {
        interrupt.await;
        // After the last request the receiver is gone, which is fine.
        let _ = interrupted.send(Event::Interrupted);
    });
    let schedule = Schedule { context, workload, runtime, events, heard, give_up };
    let schedule = std::thread::Builder::new()
        .name("schedule".into())
        .spawn(move || schedule.keep(&progress))?;
    let (interrupted, began) = tokio::task::spawn_blocking(move || schedule.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the schedule's thread panicked"))?;
    listening.abort();
    let all = std::mem::take(&mut *shared.lock().expect("no request's task panicked"));
    Ok(all.into_driven(interrupted, began, options.nonce))
}

#[derive(Debug, Default)]
struct Shared {
    recorder: Recorder,
    lateness_s: Vec<f64>,
    overhead_s: Vec<f64>,
    /// The first failures, with their messages, for the reader of the report.
    failures: Vec<String>,
    /// The first of each reason.
    first_failures: BTreeMap<String, String>,
    tier_names: Vec<String>,
    kv_transfer: Option<LiveKvTransfer>,
}

impl Shared {
    fn into_driven(self, interrupted: bool, began: Instant, nonce: Option<u32>) -> Driven {
        let slowest = self.recorder.answered().iter().max_by_key(|request| request.ttft());
        let slowest = slowest.map(|request| Slowest {
            request_id: wire_name(nonce, request.id),
            ttft_s: request.ttft().as_secs_f64(),
        });
        let served: BTreeSet<WorkerId> =
            self.recorder.answered().iter().map(|request| request.worker).collect();
        let live = LiveFigures {
            send_lateness_s: Spread::of(self.lateness_s),
            worker_lateness_s: None,
            pool_lateness_s: None,
            router_overhead_s: Spread::of(self.overhead_s),
            kv_transfer: self.kv_transfer,
            workers: served.len() as u32,
            failures: self.failures,
            first_failures: self.first_failures,
            tier_names: self.tier_names,
            interrupted,
            slowest,
        };
        Driven { recorder: self.recorder, live, began }
    }
}

#[derive(Clone)]
struct Client {
    connections: Vec<Connection>,
    options: Options,
    identities: Identities,
    /// Becomes true when the run stops waiting for answers.
    given_up: watch::Receiver<bool>,
    shared: Arc<Mutex<Shared>>,
}

/// What the schedule waits for, besides the time of the next request.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ended(RequestId),
    Interrupted,
}

struct Schedule {
    context: Client,
    workload: Workload,
    runtime: tokio::runtime::Handle,
    events: mpsc::Sender<Event>,
    heard: mpsc::Receiver<Event>,
    give_up: watch::Sender<bool>,
}

impl Schedule {
    /// Returns whether the run was interrupted, and the start of its model time.
    fn keep(mut self, progress: &dyn Fn(u64)) -> (bool, Instant) {
        // Some time before the first request, so that setting up does not delay it.
        let origin = Instant::now() + Duration::from_millis(20);
        let clock = ModelClock::new(origin, self.context.options.speedup);
        let mut total = self.workload.total();
        let (mut sent, mut ended) = (0u64, 0u64);
        let mut interrupted = false;
        let mut give_up_at = None;
        while ended < total {
            while !interrupted && let Some((at, work)) = due(&mut self.workload, origin, &clock) {
                self.spawn(sent as usize, clock, at, work);
                sent += 1;
            }
            // Of a run that ends at an instant, the total falls to what was sent.
            if !interrupted {
                total = self.workload.total();
                if ended == total {
                    break;
                }
            }
            let next = if interrupted {
                give_up_at
            } else {
                self.workload.next_send().map(|at| clock.wall(at))
            };
            let event = match next {
                Some(at) => self.heard.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => self.heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Ended(id)) => {
                    self.workload.on_ended(clock.now(), id);
                    ended += 1;
                    progress(ended);
                }
                Ok(Event::Interrupted) => {
                    (interrupted, total) = (true, sent);
                    give_up_at = Some(Instant::now() + DRAIN_LIMIT);
                }
                Err(_) if give_up_at.is_some_and(|at| at <= Instant::now()) => {
                    self.give_up.send_replace(true);
                    give_up_at = None;
                }
                Err(_) => {}
            }
        }
        (interrupted, origin)
    }

    fn spawn(&self, turn: usize, clock: ModelClock, at: ModelInstant, work: Work) {
        let connections = &self.context.connections;
        let connection = connections[turn % connections.len()].clone();
        let (context, events) = (self.context.clone(), self.events.clone());
        self.runtime.spawn(async move {
            let _end = EndOf { id: work.request.id, events };
            one_request(context, connection, &clock, at, work).await;
        });
    }
}

/// Tells the schedule that a request has ended, also when its task panics: the schedule would wait for
/// it for ever.
struct EndOf {
    id: RequestId,
    events: mpsc::Sender<Event>,
}

impl Drop for EndOf {
    fn drop(&mut self) {
        // The receiver outlives all requests.
        let _ = self.events.send(Event::Ended(self.id));
    }
}

fn due(
    workload: &mut Workload,
    origin: Instant,
    clock: &ModelClock,
) -> Option<(ModelInstant, Work)> {
    (Instant::now() >= origin).then(|| workload.send(clock.now())).flatten()
}

async fn one_request(
    context: Client,
    connection: Connection,
    clock: &ModelClock,
    at: ModelInstant,
    mut work: Work,
) {
    let (id, prompt_tokens) = (work.request.id, work.request.prompt.tokens());
    let nonce = context.options.nonce;
    if let Some(nonce) = nonce {
        work.text = work.text.salted(u64::from(nonce));
    }
    let name = wire_name(nonce, id);
    let Client { identities, options, .. } = &context;
    let check_tokens = options.check_tokens;
    let prepared = connection.prepare(&Ask { work: &work, name: &name, identities, check_tokens });
    let late = Instant::now().saturating_duration_since(clock.wall(at));
    {
        let mut shared = context.lock();
        shared.lateness_s.push(late.as_secs_f64());
        shared.recorder.sent(at, id, prompt_tokens, work.output_tokens);
        let Request { session, tenant, .. } = work.request;
        shared.recorder.described(clock.now(), id, session, tenant);
        shared.recorder.set_tenant(id, tenant, work.known);
    }
    let mut given_up = context.given_up.clone();
    let following = Following { context: &context, clock, id };
    let exchange = prepared.send(&following);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(context.options.timeout, exchange) => match outcome {
            Ok(outcome) => outcome.map_err(|status| (status::reason(&status), status)),
            Err(_) => {
                let why = "the request did not end within the time limit";
                let status = Status::deadline_exceeded(why);
                Err((format!("{:?}", status.code()), status))
            }
        },
        _ = given_up.wait_for(|&given_up| given_up) => {
            let status = Status::cancelled("cancelled because the run was interrupted");
            Err(("interrupted".to_owned(), status))
        }
    };
    let now = clock.now();
    let mut shared = context.lock();
    match outcome {
        Ok(Ended { worker, cached, tier_names, moved }) => {
            if let Some(moved) = moved {
                let all = shared.kv_transfer.get_or_insert_default();
                all.requests += 1;
                all.tokens += moved.tokens;
                all.bytes += moved.bytes;
            }
            shared.recorder.finished(now, id, worker.unwrap_or(WorkerId(0)), cached);
            if shared.tier_names.len() < tier_names.len() {
                shared.tier_names = tier_names;
            }
        }
        Err((reason, status)) => {
            let named = || format!("{name}: {}: {}", status.code(), status.message());
            if shared.failures.len() < 5 {
                shared.failures.push(named());
            }
            shared.first_failures.entry(reason.clone()).or_insert_with(named);
            shared.recorder.failed(now, id, &reason);
        }
    }
}

impl Client {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("no request's task panicked")
    }
}

/// Records an answer while it comes.
struct Following<'a> {
    context: &'a Client,
    clock: &'a ModelClock,
    id: RequestId,
}

impl Heard for Following<'_> {
    fn placed(&self, worker: WorkerId) {
        self.context.lock().recorder.placed(self.id, worker);
    }

    fn first_token(&self, overhead_ns: Option<u64>) {
        let now = self.clock.now();
        let mut shared = self.context.lock();
        shared.recorder.first_token(now, self.id);
        shared.overhead_s.extend(overhead_ns.map(|ns| ns as f64 * 1e-9));
    }
}
