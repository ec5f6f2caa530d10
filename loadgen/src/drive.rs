//! The live client: sends a workload to a router over gRPC and records what comes back.
//!
//! A thread of its own keeps the schedule, since a speedup multiplies every wall-clock error and
//! tokio's timers tick in milliseconds. Latency counts from the instant a request should have been
//! sent, however late it was.

use crate::results::LiveFigures;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use warmpath_core::id::{MAX_TIERS, RequestId, WorkerId};
use warmpath_core::report::{Cached, Recorder, Spread};
use warmpath_core::request::Work;
use warmpath_core::time::Instant as ModelInstant;
use warmpath_core::tokens::TokenStream;
use warmpath_core::workload::Workload;
use warmpath_proto::clock::ModelClock;
use warmpath_proto::tiers;
use warmpath_proto::vllm::inference_client::InferenceClient;
use warmpath_proto::vllm::{
    FinishInfo, GenerateRequest, ResponseOptions, StoppingCriteria, TokenIds,
    finish_info::FinishReason, generate_request::Prompt,
};

/// Connections to the router. One is a bottleneck and a single point of failure; more than a few
/// gain nothing on loopback.
const CONNECTIONS: usize = 4;
const WINDOW: u32 = 64 << 20;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub speedup: f64,
    /// Whether every answer must be the token stream that its prompt determines.
    pub check_tokens: bool,
    /// Wall time after which a request counts as failed.
    pub timeout: Duration,
}

#[derive(Debug)]
pub struct Driven {
    pub recorder: Recorder,
    pub live: LiveFigures,
}

/// Sends the whole workload and waits for every answer. `progress` hears how many have ended.
pub async fn drive(
    target: &str,
    workload: Workload,
    options: Options,
    progress: impl Fn(u64) + Send + 'static,
) -> Result<Driven> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(target.to_owned())
            .with_context(|| format!("--target: {target}"))?
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW / 8);
        let channel = endpoint.connect().await;
        channels.push(channel.with_context(|| format!("cannot reach the router at {target}"))?);
    }
    let runtime = tokio::runtime::Handle::current();
    let shared = Arc::new(Mutex::new(Shared::default()));
    let context = Client { channels, options, shared: Arc::clone(&shared) };
    let schedule = std::thread::Builder::new()
        .name("schedule".into())
        .spawn(move || keep_schedule(context, workload, &runtime, &progress))?;
    tokio::task::spawn_blocking(move || schedule.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the schedule's thread panicked"))?;
    let all = std::mem::take(&mut *shared.lock().expect("no request's task panicked"));
    Ok(all.into_driven())
}

#[derive(Debug, Default)]
struct Shared {
    recorder: Recorder,
    lateness_s: Vec<f64>,
    overhead_s: Vec<f64>,
    /// The first failures in full, for the person who reads the report.
    failures: Vec<String>,
    tier_names: Vec<String>,
}

impl Shared {
    fn into_driven(self) -> Driven {
        let served: BTreeSet<WorkerId> =
            self.recorder.answered().iter().map(|request| request.worker).collect();
        let live = LiveFigures {
            send_lateness_s: Spread::of(self.lateness_s),
            router_overhead_s: (!self.overhead_s.is_empty()).then(|| Spread::of(self.overhead_s)),
            workers: served.len() as u32,
            failures: self.failures,
            tier_names: self.tier_names,
        };
        Driven { recorder: self.recorder, live }
    }
}

#[derive(Clone)]
struct Client {
    channels: Vec<Channel>,
    options: Options,
    shared: Arc<Mutex<Shared>>,
}

fn keep_schedule(
    context: Client,
    mut workload: Workload,
    runtime: &tokio::runtime::Handle,
    progress: &dyn Fn(u64),
) {
    let (ended_tx, ended_rx) = mpsc::channel::<RequestId>();
    // A little time to breathe before the first request, so that it is not late by the set-up.
    let origin = Instant::now() + Duration::from_millis(20);
    let clock = ModelClock::new(origin, context.options.speedup);
    let total = workload.total();
    let (mut sent, mut ended) = (0u64, 0u64);
    while ended < total {
        while let Some((at, work)) = due(&mut workload, origin, &clock) {
            let channel = context.channels[sent as usize % context.channels.len()].clone();
            sent += 1;
            let (context, ended_tx) = (context.clone(), ended_tx.clone());
            runtime.spawn(async move {
                let id = work.request.id;
                one_request(&context, channel, &clock, at, work).await;
                // The schedule outlives its requests.
                let _ = ended_tx.send(id);
            });
        }
        let next = match workload.next_send() {
            Some(at) => {
                let wait = clock.wall(at).saturating_duration_since(Instant::now());
                ended_rx.recv_timeout(wait)
            }
            None => ended_rx.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if let Ok(id) = next {
            workload.on_ended(clock.now(), id);
            ended += 1;
            progress(ended);
        }
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
    context: &Client,
    channel: Channel,
    clock: &ModelClock,
    at: ModelInstant,
    work: Work,
) {
    let (id, prompt_tokens) = (work.request.id, work.request.prompt.tokens());
    let request = to_wire(&work);
    let expected = context.options.check_tokens.then(|| {
        let mut stream = TokenStream::default();
        if let Some(Prompt::TokenIds(TokenIds { ids })) = &request.prompt {
            stream.extend(ids);
        }
        stream
    });
    let late = Instant::now().saturating_duration_since(clock.wall(at));
    {
        let mut shared = context.lock();
        shared.lateness_s.push(late.as_secs_f64());
        shared.recorder.sent(at, id, prompt_tokens, work.output_tokens);
    }
    let exchange = stream(context, channel, clock, &work, request, expected);
    let outcome = match tokio::time::timeout(context.options.timeout, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Status::deadline_exceeded("no end within the time limit")),
    };
    let now = clock.now();
    let mut shared = context.lock();
    match outcome {
        Ok(Ended { worker, cached, tier_names }) => {
            shared.recorder.finished(now, id, worker, cached);
            if shared.tier_names.len() < tier_names.len() {
                shared.tier_names = tier_names;
            }
        }
        Err(status) => {
            if shared.failures.len() < 5 {
                shared.failures.push(format!("{id}: {}: {}", status.code(), status.message()));
            }
            shared.recorder.failed(now, id, &format!("{:?}", status.code()));
        }
    }
}

impl Client {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("no request's task panicked")
    }
}

struct Ended {
    worker: WorkerId,
    cached: Cached,
    /// Of the tiers that the worker tells apart.
    tier_names: Vec<String>,
}

async fn stream(
    context: &Client,
    channel: Channel,
    clock: &ModelClock,
    work: &Work,
    request: GenerateRequest,
    mut expected: Option<TokenStream>,
) -> Result<Ended, Status> {
    let mut client = InferenceClient::new(channel);
    let response = client.generate_stream(Request::new(request)).await?;
    let header = |name| response.metadata().get(name)?.to_str().ok();
    let worker =
        header("x-warmpath-worker").and_then(|text| text.trim_start_matches('w').parse().ok());
    let overhead_ns = header("x-warmpath-router-ns").and_then(|text| text.parse::<u64>().ok());
    let mut stream = response.into_inner();
    let mut tokens = 0;
    while let Some(message) = stream.message().await? {
        let Some(output) = message.outputs else { continue };
        if tokens == 0 && output.num_tokens > 0 {
            let now = clock.now();
            let mut shared = context.lock();
            shared.recorder.first_token(now, work.request.id);
            shared.overhead_s.extend(overhead_ns.map(|ns| ns as f64 * 1e-9));
        }
        tokens += output.num_tokens;
        if let Some(expected) = &mut expected {
            check_tokens(expected, output.num_tokens, &output.token_ids)?;
        }
        let Some(finish) = output.finish_info else { continue };
        if finish.finish_reason() == FinishReason::Aborted {
            return Err(Status::aborted("the engine gave the request up"));
        }
        if tokens != finish.num_output_tokens || tokens == 0 {
            return Err(Status::data_loss(format!(
                "{tokens} tokens arrived, the engine sent {}",
                finish.num_output_tokens
            )));
        }
        if tokens != work.output_tokens {
            return Err(Status::data_loss(format!(
                "{tokens} tokens arrived, {} were asked for",
                work.output_tokens
            )));
        }
        let (cached, tier_names) = found(&finish);
        return Ok(Ended { worker: WorkerId(worker.unwrap_or(0)), cached, tier_names });
    }
    Err(Status::data_loss(format!("the stream ended after {tokens} tokens without a finish")))
}

/// What the worker says it found, and the names of the tiers it tells apart.
fn found(finish: &FinishInfo) -> (Cached, Vec<String>) {
    let tokens = finish.num_cached_tokens.unwrap_or(0);
    let mut cached = Cached { tokens, by_tier: [0; MAX_TIERS] };
    let parts = finish.kv_transfer_params.as_ref().and_then(tiers::from_wire);
    let parts = parts.filter(|parts| parts.len() <= MAX_TIERS).unwrap_or_default();
    for (own, (_, tokens)) in cached.by_tier.iter_mut().zip(&parts) {
        *own = *tokens;
    }
    (cached, parts.into_iter().map(|(name, _)| name).collect())
}

fn check_tokens(expected: &mut TokenStream, count: u32, ids: &[u32]) -> Result<(), Status> {
    if ids.len() != count as usize {
        return Err(Status::data_loss(format!("{count} tokens announced, {} sent", ids.len())));
    }
    for &id in ids {
        let token = expected.generate();
        if id != token {
            return Err(Status::data_loss(format!("token {id} arrived, expected {token}")));
        }
    }
    Ok(())
}

fn to_wire(work: &Work) -> GenerateRequest {
    let ids = work.text.token_ids(work.request.prompt.tokens());
    GenerateRequest {
        request_id: format!("lg-{}", work.request.id.0),
        prompt: Some(Prompt::TokenIds(TokenIds { ids })),
        stopping: Some(StoppingCriteria {
            max_new_tokens: work.output_tokens,
            min_new_tokens: work.output_tokens,
            ignore_eos: true,
            ..StoppingCriteria::default()
        }),
        response: Some(ResponseOptions {
            output_text: Some(false),
            output_token_ids: true,
            ..ResponseOptions::default()
        }),
        session_id: work.request.session.map(|session| session.to_string()),
        ..GenerateRequest::default()
    }
}
