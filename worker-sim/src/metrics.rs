//! The metrics, with vLLM's own names: dashboards and endpoint pickers made for vLLM work with a
//! simulated worker. Times are in model seconds; only the driver's lateness is in wall seconds.

mod kv_transfer;
mod requests;
mod shared;
mod sources;

use crate::config::WorkerConfig;
use crate::feed::Feed;
use kv_transfer::KvTransferMetrics;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use requests::{Ended, Requests};
use sources::{PromptTokens, Sources};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant as WallInstant};
use warmpath_core::engine::store::Hit;
use warmpath_core::engine::{Engine, EngineStats, Output};
use warmpath_core::id::RequestId;
use warmpath_core::time::Instant;
use warmpath_proto::clock::now;

pub use shared::{PoolMetrics, RemoteMetrics, dropped_puts};

/// How often gauges are refreshed.
const REFRESH: Duration = Duration::from_millis(100);

const TTFT: &str = "vllm:time_to_first_token_seconds";
const ITL: &str = "vllm:inter_token_latency_seconds";
/// The name of `ITL` before vLLM 0.11. Dashboards still use it.
const OLD_ITL: &str = "vllm:time_per_output_token_seconds";
const TPOT: &str = "vllm:request_time_per_output_token_seconds";
const WAITING: &str = "vllm:num_requests_waiting";
const WAITING_BY_REASON: &str = "vllm:num_requests_waiting_by_reason";
const RUNNING: &str = "vllm:num_requests_running";
const USAGE: &str = "vllm:kv_cache_usage_perc";
const QUERIES: &str = "vllm:prefix_cache_queries_total";
const HITS: &str = "vllm:prefix_cache_hits_total";
const EXTERNAL_QUERIES: &str = "vllm:external_prefix_cache_queries_total";
const EXTERNAL_HITS: &str = "vllm:external_prefix_cache_hits_total";
/// Names before vLLM 0.9.
const OLD_USAGE: &str = "vllm:gpu_cache_usage_perc";
const OLD_QUERIES: &str = "vllm:gpu_prefix_cache_queries_total";
const OLD_HITS: &str = "vllm:gpu_prefix_cache_hits_total";
const LATENESS: &str = "warmpath_worker_lateness_seconds";
const SPEEDUP: &str = "warmpath_worker_speedup";

const SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const TOKEN_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const LATENESS_SECONDS: &[f64] =
    &[1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 1.0];

/// Measures from now on. The handle has Prometheus' text, which is also served at `address`, if there is one.
/// Call it once in a process, in a tokio runtime, before its worker or pool starts.
pub fn install_metrics(address: Option<SocketAddr>) -> Result<PrometheusHandle, BuildError> {
    let builder = with_buckets(PrometheusBuilder::new())?;
    let handle = warmpath_proto::measured::install(builder, address)?;
    describe();
    Ok(handle)
}

fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    let mut builder = requests::with_buckets(builder)?;
    builder = builder.set_buckets_for_metric(Matcher::Full(TTFT.to_owned()), SECONDS)?;
    for name in [ITL, OLD_ITL, TPOT] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), TOKEN_SECONDS)?;
    }
    for name in [LATENESS, shared::POOL_LATENESS] {
        let lateness = Matcher::Full(name.to_owned());
        builder = builder.set_buckets_for_metric(lateness, LATENESS_SECONDS)?;
    }
    Ok(builder)
}

/// HELP lines; docs/metrics.md says more.
fn describe() {
    describe_gauge!(WAITING, "Requests that wait to be admitted");
    describe_gauge!(WAITING_BY_REASON, "Requests that wait for room, or for blocks from elsewhere");
    describe_gauge!(RUNNING, "Requests in the running batch");
    describe_gauge!(USAGE, "Share of KV blocks that requests hold; 1 is all");
    describe_gauge!(OLD_USAGE, "The older name of vllm:kv_cache_usage_perc");
    describe_gauge!("vllm:cache_config_info", "Settings of the KV cache");
    describe_counter!(QUERIES, "Tokens looked up in the HBM's prefix cache");
    describe_counter!(HITS, "Tokens found in the HBM's prefix cache");
    describe_counter!(OLD_QUERIES, "The older name of vllm:prefix_cache_queries_total");
    describe_counter!(OLD_HITS, "The older name of vllm:prefix_cache_hits_total");
    describe_counter!(EXTERNAL_QUERIES, "Tokens looked up behind HBM: in tiers, pool and peers");
    describe_counter!(EXTERNAL_HITS, "Tokens found behind HBM: in tiers, pool and peers");
    describe_counter!("vllm:generation_tokens_total", "Answer tokens");
    describe_counter!("vllm:num_preemptions_total", "Preempted sequences");
    describe_counter!("vllm:request_success_total", "Ended requests, by reason");
    describe_histogram!(TTFT, "Arrival to first token, in model seconds");
    describe_histogram!(ITL, "Between two answer tokens, in model seconds");
    describe_histogram!(OLD_ITL, "The older name of vllm:inter_token_latency_seconds");
    describe_histogram!(TPOT, "Mean time per token after the first, one value per request");
    describe_histogram!(LATENESS, "Engine turns behind their due instant, in wall seconds");
    describe_gauge!(SPEEDUP, "Model seconds in a second of the wall clock; rate() is by wall time");
    describe_counter!("warmpath_worker_kv_batches_total", "Batches of store changes announced");
    describe_counter!("warmpath_worker_kv_events_total", "Store changes announced");
    describe_counter!("warmpath_worker_watchers_dropped_total", "Feeds whose reader fell behind");
    shared::describe();
    kv_transfer::describe();
    requests::describe();
    sources::describe();
}

struct Begun {
    at: Instant,
    admitted: Option<Instant>,
    prompt_tokens: u32,
    output_tokens: u32,
    /// Tokens whose KV came from a prefill worker.
    handed: u64,
    /// Where the prompt came from, once it is counted.
    prompt: Option<PromptTokens>,
    /// Present from the first token on.
    decoding: Option<Decoding>,
}

#[derive(Clone, Copy)]
struct Decoding {
    first: Instant,
    /// Answer tokens at the last look, and when that was.
    made: u32,
    at: Instant,
}

pub struct WorkerMetrics {
    block_size: u64,
    requests: HashMap<RequestId, Begun>,
    counted: EngineStats,
    lagged: u64,
    refreshed: WallInstant,
    waiting: Gauge,
    /// For room; for blocks from elsewhere.
    waiting_for: [Gauge; 2],
    running: Gauge,
    usage: [Gauge; 2],
    queries: [Counter; 2],
    hits: [Counter; 2],
    external: Option<(Counter, Counter)>,
    sources: Sources,
    ended: Requests,
    generation_tokens: Counter,
    preemptions: Counter,
    finished: Counter,
    aborted: Counter,
    ttft: Histogram,
    itl: [Histogram; 2],
    tpot: Histogram,
    lateness: Histogram,
    batches: Counter,
    events: Counter,
    lagging: Counter,
    sent_to_peers: Counter,
    pub kv_transfers: KvTransferMetrics,
}

impl std::fmt::Debug for WorkerMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerMetrics").finish_non_exhaustive()
    }
}

impl WorkerMetrics {
    /// Install a recorder before, or nothing is counted.
    pub fn new(config: &WorkerConfig) -> Self {
        let labels = [("model_name", config.model.clone()), ("engine", config.name.clone())];
        let counted = |name: &'static str| counter!(name, &labels);
        let measured = |name: &'static str| histogram!(name, &labels);
        let ended = |reason: &'static str| {
            let mut labels = labels.to_vec();
            labels.push(("finished_reason", reason.to_owned()));
            counter!("vllm:request_success_total", &labels)
        };
        // Behind HBM there may be tiers, a pool, peers, or prefill workers.
        let has_more = config.profile.tier_names().len() > 1
            || config.profile.pool_cost().is_some()
            || config.profile.peer_cost().is_some();
        let waiting_for = |reason: &'static str| {
            let mut labels = labels.to_vec();
            labels.push(("reason", reason.to_owned()));
            gauge!(WAITING_BY_REASON, &labels)
        };
        let blocks = config.profile.hbm_blocks().unwrap_or(0).to_string();
        let mut cache = labels.to_vec();
        cache.push(("block_size", config.profile.block_size.to_string()));
        cache.push(("num_gpu_blocks", blocks));
        gauge!("vllm:cache_config_info", &cache).set(1.0);
        gauge!(SPEEDUP, &labels).set(config.speedup);
        Self {
            block_size: u64::from(config.profile.block_size),
            requests: HashMap::new(),
            counted: EngineStats::default(),
            lagged: 0,
            refreshed: now(),
            waiting: gauge!(WAITING, &labels),
            waiting_for: ["capacity", "deferred"].map(waiting_for),
            running: gauge!(RUNNING, &labels),
            usage: [USAGE, OLD_USAGE].map(|name| gauge!(name, &labels)),
            queries: [QUERIES, OLD_QUERIES].map(counted),
            hits: [HITS, OLD_HITS].map(counted),
            external: has_more.then(|| (counted(EXTERNAL_QUERIES), counted(EXTERNAL_HITS))),
            sources: Sources::new(&labels),
            ended: Requests::new(&labels),
            generation_tokens: counted("vllm:generation_tokens_total"),
            preemptions: counted("vllm:num_preemptions_total"),
            finished: ended("length"),
            aborted: ended("abort"),
            ttft: measured(TTFT),
            itl: [measured(ITL), measured(OLD_ITL)],
            tpot: measured(TPOT),
            lateness: measured(LATENESS),
            batches: counted("warmpath_worker_kv_batches_total"),
            events: counted("warmpath_worker_kv_events_total"),
            lagging: counted("warmpath_worker_watchers_dropped_total"),
            sent_to_peers: shared::sent_to_peers(&config.name),
            kv_transfers: KvTransferMetrics::new(config),
        }
    }

    pub fn submitted(
        &mut self,
        id: RequestId,
        at: Instant,
        prompt_tokens: u32,
        output_tokens: u32,
    ) {
        let begun = Begun {
            at,
            admitted: None,
            prompt_tokens,
            output_tokens,
            handed: 0,
            prompt: None,
            decoding: None,
        };
        self.requests.insert(id, begun);
    }

    /// The KV of so many prompt tokens came from a prefill worker.
    pub fn handed(&mut self, id: RequestId, tokens: u64) {
        if let Some(begun) = self.requests.get_mut(&id) {
            begun.handed = tokens;
        }
    }

    /// The answer has `made` tokens now. The tokens since the last call count as evenly spaced.
    pub fn progress(&mut self, id: RequestId, at: Instant, made: u32) {
        let decoding = self.requests.get_mut(&id).and_then(|begun| begun.decoding.as_mut());
        let Some(decoding) = decoding.filter(|decoding| made > decoding.made) else { return };
        let tokens = made - decoding.made;
        let each = at.since(decoding.at).as_secs_f64() / f64::from(tokens);
        for histogram in &self.itl {
            histogram.record_many(each, tokens as usize);
        }
        (decoding.made, decoding.at) = (made, at);
    }

    pub fn aborted(&mut self, id: RequestId) {
        if self.requests.remove(&id).is_some() {
            self.aborted.increment(1);
        }
    }

    /// A peer asked for blocks.
    pub fn sent_to_peers(&self, blocks: u32) {
        self.sent_to_peers.increment(u64::from(blocks));
    }

    /// How late the driver's thread was for an instant that was due.
    pub fn lateness(&self, late: Duration) {
        self.lateness.record(late.as_secs_f64());
    }

    /// `hit`: what the engine found of the prompt of a request that it still has.
    pub fn output(&mut self, output: &Output, hit: impl Fn(RequestId) -> Option<Hit>) {
        match output {
            Output::Admitted { id, at, hit } => self.admitted(*id, *at, hit),
            Output::FirstToken { id, at } => {
                let Some(begun) = self.requests.get_mut(id) else { return };
                begun.decoding = Some(Decoding { first: *at, made: 1, at: *at });
                self.ttft.record(at.since(begun.at).as_secs_f64());
                // An answer of one token is no more in the engine: its end follows.
                if let Some(hit) = hit(*id) {
                    prefilled(&self.sources, self.block_size, begun, &hit);
                }
            }
            Output::Prefilled { id, at, hit, .. } => self.finished(*id, *at, hit),
            Output::Finished { id, at, hit, .. } => {
                let answer = self.requests.get(id).map(|begun| begun.output_tokens);
                self.progress(*id, *at, answer.unwrap_or(0));
                self.finished(*id, *at, hit);
            }
            // Counted in other places.
            Output::Fetch { .. }
            | Output::FetchServed { .. }
            | Output::Put { .. }
            | Output::Pull { .. }
            | Output::KvSent { .. } => {}
            Output::Kv { batch, .. } => {
                self.batches.increment(1);
                self.events.increment(batch.events.len() as u64);
            }
        }
    }

    fn admitted(&mut self, id: RequestId, at: Instant, hit: &Hit) {
        let Some(begun) = self.requests.get_mut(&id) else { return };
        begun.admitted = Some(at);
        let tokens = PromptTokens::new(begun.prompt_tokens, self.block_size, hit, 0);
        for (queries, hits) in self.queries.iter().zip(&self.hits) {
            queries.increment(tokens.prompt);
            hits.increment(tokens.on_device());
        }
        if let Some((queries, hits)) = &self.external {
            queries.increment(tokens.prompt - tokens.on_device());
            hits.increment(tokens.external());
        }
    }

    /// The end of an answer, or of a prompt whose answer a decode worker makes.
    fn finished(&mut self, id: RequestId, at: Instant, hit: &Hit) {
        let Some(mut begun) = self.requests.remove(&id) else { return };
        let prompt = prefilled(&self.sources, self.block_size, &mut begun, hit);
        let first_token = begun.decoding.map_or(at, |decoding| decoding.first);
        if begun.output_tokens > 1 {
            let span = at.since(first_token).as_secs_f64();
            self.tpot.record(span / f64::from(begun.output_tokens - 1));
        }
        self.ended.ended(&Ended {
            arrived: begun.at,
            admitted: begun.admitted.unwrap_or(first_token),
            first_token,
            ended: at,
            prompt_tokens: prompt.prompt,
            computed_tokens: prompt.computed(),
            answer_tokens: begun.output_tokens,
        });
        self.finished.increment(1);
    }

    /// Refreshes the gauges, at most each 100 ms.
    pub fn observe(&mut self, now: WallInstant, engine: &Engine, feed: &Feed) {
        let stats = engine.stats();
        self.generation_tokens.increment(stats.output_tokens - self.counted.output_tokens);
        self.preemptions.increment(stats.preemptions - self.counted.preemptions);
        self.counted = stats;
        self.lagging.increment(feed.lagged - self.lagged);
        self.lagged = feed.lagged;
        if now.saturating_duration_since(self.refreshed) < REFRESH && !engine.is_idle() {
            return;
        }
        self.refreshed = now;
        let report = engine.load_report();
        self.waiting.set(f64::from(report.waiting));
        let deferred = engine.loading().min(report.waiting);
        let reasons = [report.waiting - deferred, deferred];
        for (gauge, waiting) in self.waiting_for.iter().zip(reasons) {
            gauge.set(f64::from(waiting));
        }
        self.running.set(f64::from(report.running));
        let capacity = engine.profile().hbm_blocks();
        // As vLLM counts: cached blocks that no request holds are free.
        let held = engine.store().held_blocks() as f64;
        let usage = capacity.map_or(0.0, |most| held / most as f64);
        for gauge in &self.usage {
            gauge.set(usage);
        }
    }
}

/// Counts where the tokens of a prompt came from, once.
fn prefilled(sources: &Sources, block_size: u64, begun: &mut Begun, hit: &Hit) -> PromptTokens {
    *begun.prompt.get_or_insert_with(|| {
        let tokens = PromptTokens::new(begun.prompt_tokens, block_size, hit, begun.handed);
        sources.prefilled(&tokens);
        tokens
    })
}

#[cfg(test)]
mod tests;
