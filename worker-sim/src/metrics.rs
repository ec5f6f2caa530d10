//! The metrics, with vLLM's own names: dashboards and endpoint pickers made for vLLM work with a
//! simulated worker. Times are in model seconds; only the driver's lateness is in wall seconds.

mod kv_transfer;
mod shared;

use crate::config::WorkerConfig;
use crate::feed::Feed;
use kv_transfer::KvTransferMetrics;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant as WallInstant};
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
const E2E: &str = "vllm:e2e_request_latency_seconds";
const QUEUE: &str = "vllm:request_queue_time_seconds";
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

fn with_buckets(mut builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    for name in [TTFT, E2E, QUEUE] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), SECONDS)?;
    }
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
    describe_gauge!("vllm:num_requests_waiting", "Requests that wait to be admitted");
    describe_gauge!("vllm:num_requests_running", "Requests in the running batch");
    describe_gauge!("vllm:kv_cache_usage_perc", "Share of KV blocks that requests hold; 1 is all");
    describe_gauge!("vllm:cache_config_info", "Settings of the KV cache");
    describe_counter!("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache");
    describe_counter!("vllm:prefix_cache_hits_total", "Tokens found in the prefix cache");
    describe_counter!("vllm:prompt_tokens_total", "Prompt tokens of prefilled requests");
    describe_counter!("vllm:prompt_tokens_cached_total", "Prompt tokens that were cached");
    describe_counter!("vllm:generation_tokens_total", "Answer tokens");
    describe_counter!("vllm:num_preemptions_total", "Preempted sequences");
    describe_counter!("vllm:request_success_total", "Ended requests, by reason");
    describe_histogram!(TTFT, "Arrival to first token, in model seconds");
    describe_histogram!(ITL, "Between two answer tokens, in model seconds");
    describe_histogram!(OLD_ITL, "The older name of vllm:inter_token_latency_seconds");
    describe_histogram!(TPOT, "Mean time per token after the first, one value per request");
    describe_histogram!(E2E, "Arrival to the end of the answer, in model seconds");
    describe_histogram!(QUEUE, "Arrival to first admission, in model seconds");
    describe_histogram!(LATENESS, "Engine turns behind their due instant, in wall seconds");
    describe_gauge!(SPEEDUP, "Model seconds in a second of the wall clock; rate() is by wall time");
    describe_counter!("warmpath_worker_kv_batches_total", "Batches of store changes announced");
    describe_counter!("warmpath_worker_kv_events_total", "Store changes announced");
    describe_counter!("warmpath_worker_watchers_dropped_total", "Feeds whose reader fell behind");
    shared::describe();
    kv_transfer::describe();
}

struct Begun {
    at: Instant,
    prompt_tokens: u32,
    output_tokens: u32,
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
    itl: [Histogram; 2],
    tpot: Histogram,
    e2e: Histogram,
    queue: Histogram,
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
            itl: [measured(ITL), measured(OLD_ITL)],
            tpot: measured(TPOT),
            e2e: measured(E2E),
            queue: measured(QUEUE),
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
        let begun = Begun { at, prompt_tokens, output_tokens, decoding: None };
        self.requests.insert(id, begun);
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
                let Some(begun) = self.requests.get_mut(id) else { return };
                begun.decoding = Some(Decoding { first: *at, made: 1, at: *at });
                self.ttft.record(at.since(begun.at).as_secs_f64());
                self.prompt_tokens.increment(u64::from(begun.prompt_tokens));
            }
            Output::Prefilled { id, at, cached_tokens, .. } => {
                let Some(begun) = self.requests.remove(id) else { return };
                self.prompt_tokens.increment(u64::from(begun.prompt_tokens));
                self.e2e.record(at.since(begun.at).as_secs_f64());
                self.cached_tokens.increment(u64::from(*cached_tokens));
                self.finished.increment(1);
            }
            Output::Finished { id, at, cached_tokens, .. } => {
                let answer = self.requests.get(id).map(|begun| begun.output_tokens);
                self.progress(*id, *at, answer.unwrap_or(0));
                let Some(begun) = self.requests.remove(id) else { return };
                self.e2e.record(at.since(begun.at).as_secs_f64());
                if let Some(decoding) = begun.decoding.filter(|_| begun.output_tokens > 1) {
                    let span = at.since(decoding.first).as_secs_f64();
                    self.tpot.record(span / f64::from(begun.output_tokens - 1));
                }
                self.cached_tokens.increment(u64::from(*cached_tokens));
                self.finished.increment(1);
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
        // As vLLM counts: cached blocks that no request holds are free.
        let held = engine.store().held_blocks() as f64;
        let usage = capacity.map_or(0.0, |most| held / most as f64);
        self.usage.set(usage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::profile;
    use warmpath_core::time::Duration as ModelDuration;

    #[test]
    fn an_answer_is_counted_by_vllms_names() {
        let recorder = with_buckets(PrometheusBuilder::new()).unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            let config = WorkerConfig { speedup: 20.0, ..WorkerConfig::new(profile()) };
            let mut metrics = WorkerMetrics::new(&config);
            let at = |seconds: u64| Instant::START + ModelDuration::from_millis(1_000 * seconds);
            let id = RequestId(1);
            metrics.submitted(id, at(0), 10, 5);
            metrics.output(&Output::FirstToken { id, at: at(1) });
            // Two tokens in one second, none in the next one, two in the two seconds after it.
            metrics.progress(id, at(2), 3);
            metrics.progress(id, at(3), 3);
            let (hit, output_tokens) = ([0; 6], 1);
            metrics.output(&Output::Finished {
                id,
                at: at(4),
                cached_tokens: 0,
                hit,
                output_tokens,
            });
            // An answer with one token has no time per token.
            let short = RequestId(2);
            metrics.submitted(short, at(4), 10, 1);
            metrics.output(&Output::FirstToken { id: short, at: at(5) });
            metrics.output(&Output::Finished {
                output_tokens,
                id: short,
                at: at(5),
                cached_tokens: 0,
                hit: [0; 6],
            });
        });
        let page = recorder.handle().render();
        let value = |name: &str| {
            let line = page.lines().find(|line| line.starts_with(&format!("{name}{{")));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        for name in [ITL, OLD_ITL] {
            assert_eq!(value(&format!("{name}_sum")), Some(3.0), "{page}");
            assert_eq!(value(&format!("{name}_count")), Some(4.0), "{page}");
        }
        assert!(
            page.contains(&format!("{ITL}_bucket{{model_name=\"simulated\",engine=")),
            "{page}"
        );
        assert!(page.contains("le=\"0.5\"} 2\n"), "{page}");
        assert_eq!(value(SPEEDUP), Some(20.0), "{page}");
        assert_eq!(value(&format!("{TPOT}_sum")), Some(0.75));
        assert_eq!(value(&format!("{TPOT}_count")), Some(1.0));
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let docs = std::fs::read_to_string(docs).unwrap();
        for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = name.split(' ').next().unwrap();
            assert!(page.contains(&format!("# HELP {name} ")), "no HELP for {name}");
            assert!(docs.contains(&format!("`{name}`")), "docs/metrics.md lacks {name}");
        }
    }
}
