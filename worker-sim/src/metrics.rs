//! vLLM's own metric names, so that dashboards and endpoint pickers made for vLLM read a simulated
//! worker too. Times are in model seconds; only the lateness of the driver is in wall seconds.

use crate::config::WorkerConfig;
use crate::feed::Feed;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant as WallInstant};
use warmpath_core::engine::{Engine, EngineStats, Output};
use warmpath_core::id::RequestId;
use warmpath_core::time::Instant;

/// How often gauges are refreshed.
const REFRESH: Duration = Duration::from_millis(100);

const TTFT: &str = "vllm:time_to_first_token_seconds";
const E2E: &str = "vllm:e2e_request_latency_seconds";
const QUEUE: &str = "vllm:request_queue_time_seconds";
const LATENESS: &str = "warmpath_worker_lateness_seconds";

const SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const LATENESS_SECONDS: &[f64] =
    &[1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 1.0];

/// Serves Prometheus metrics on a port of their own. Call once in a process, before its worker
/// starts and within a tokio runtime.
pub fn install_metrics(address: SocketAddr) -> Result<(), BuildError> {
    let mut builder = PrometheusBuilder::new().with_http_listener(address);
    for name in [TTFT, E2E, QUEUE] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), SECONDS)?;
    }
    builder.set_buckets_for_metric(Matcher::Full(LATENESS.to_owned()), LATENESS_SECONDS)?.install()
}

struct Begun {
    at: Instant,
    prompt_tokens: u32,
}

pub struct WorkerMetrics {
    block_size: u64,
    requests: HashMap<RequestId, Begun>,
    counted: EngineStats,
    lagged: u64,
    refreshed: WallInstant,
    waiting: Gauge,
    running: Gauge,
    usage: Gauge,
    queries: Counter,
    hits: Counter,
    prompt_tokens: Counter,
    cached_tokens: Counter,
    generation_tokens: Counter,
    preemptions: Counter,
    finished: Counter,
    aborted: Counter,
    ttft: Histogram,
    e2e: Histogram,
    queue: Histogram,
    lateness: Histogram,
    batches: Counter,
    events: Counter,
    lagging: Counter,
}

impl std::fmt::Debug for WorkerMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerMetrics").finish_non_exhaustive()
    }
}

impl WorkerMetrics {
    /// A recorder must be installed before, or nothing is counted.
    pub fn new(config: &WorkerConfig) -> Self {
        let labels = [("model_name", config.model.clone()), ("engine", config.name.clone())];
        let counted = |name: &'static str| counter!(name, &labels);
        let measured = |name: &'static str| histogram!(name, &labels);
        let ended = |reason: &'static str| {
            let mut labels = labels.to_vec();
            labels.push(("finished_reason", reason.to_owned()));
            counter!("vllm:request_success_total", &labels)
        };
        let blocks = config.profile.hbm_blocks().unwrap_or(0).to_string();
        let mut cache = labels.to_vec();
        cache.push(("block_size", config.profile.block_size.to_string()));
        cache.push(("num_gpu_blocks", blocks));
        gauge!("vllm:cache_config_info", &cache).set(1.0);
        Self {
            block_size: u64::from(config.profile.block_size),
            requests: HashMap::new(),
            counted: EngineStats::default(),
            lagged: 0,
            refreshed: WallInstant::now(),
            waiting: gauge!("vllm:num_requests_waiting", &labels),
            running: gauge!("vllm:num_requests_running", &labels),
            usage: gauge!("vllm:kv_cache_usage_perc", &labels),
            queries: counted("vllm:prefix_cache_queries_total"),
            hits: counted("vllm:prefix_cache_hits_total"),
            prompt_tokens: counted("vllm:prompt_tokens_total"),
            cached_tokens: counted("vllm:prompt_tokens_cached_total"),
            generation_tokens: counted("vllm:generation_tokens_total"),
            preemptions: counted("vllm:num_preemptions_total"),
            finished: ended("length"),
            aborted: ended("abort"),
            ttft: measured(TTFT),
            e2e: measured(E2E),
            queue: measured(QUEUE),
            lateness: measured(LATENESS),
            batches: counted("warmpath_worker_kv_batches_total"),
            events: counted("warmpath_worker_kv_events_total"),
            lagging: counted("warmpath_worker_watchers_dropped_total"),
        }
    }

    pub fn submitted(&mut self, id: RequestId, at: Instant, prompt_tokens: u32) {
        self.requests.insert(id, Begun { at, prompt_tokens });
    }

    pub fn aborted(&mut self, id: RequestId) {
        if self.requests.remove(&id).is_some() {
            self.aborted.increment(1);
        }
    }

    /// By how much the driver came after an instant that was due.
    pub fn lateness(&self, late: Duration) {
        self.lateness.record(late.as_secs_f64());
    }

    pub fn output(&mut self, output: &Output) {
        match output {
            Output::Admitted { id, at, hit } => {
                let Some(begun) = self.requests.get(id) else { return };
                self.queue.record(at.since(begun.at).as_secs_f64());
                self.queries.increment(u64::from(begun.prompt_tokens));
                let blocks = hit.iter().map(|&blocks| u64::from(blocks)).sum::<u64>();
                self.hits.increment(blocks * self.block_size);
            }
            Output::FirstToken { id, at } => {
                let Some(begun) = self.requests.get(id) else { return };
                self.ttft.record(at.since(begun.at).as_secs_f64());
                self.prompt_tokens.increment(u64::from(begun.prompt_tokens));
            }
            Output::Finished { id, at, cached_tokens, .. } => {
                let Some(begun) = self.requests.remove(id) else { return };
                self.e2e.record(at.since(begun.at).as_secs_f64());
                self.cached_tokens.increment(u64::from(*cached_tokens));
                self.finished.increment(1);
            }
            Output::Fetch { .. } | Output::Lent { .. } | Output::Put { .. } => {}
            Output::Kv { batch, .. } => {
                self.batches.increment(1);
                self.events.increment(batch.events.len() as u64);
            }
        }
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
        self.running.set(f64::from(report.running));
        let capacity = engine.profile().hbm_blocks();
        // As vLLM counts it: cached blocks that nobody holds are free.
        let held = engine.store().held_blocks() as f64;
        let usage = capacity.map_or(0.0, |most| held / most as f64);
        self.usage.set(usage);
    }
}
