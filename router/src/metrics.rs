//! What is counted. Overhead is in wall seconds and has buckets of its own: a hop takes
//! microseconds, for which a serving engine's buckets are too coarse.

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use std::net::SocketAddr;
use std::time::Duration;
use tonic::Code;
use warmpath_core::routing::policy::PolicyConfig;

const OVERHEAD: &str = "router_overhead_seconds";

const OVERHEAD_SECONDS: &[f64] = &[
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 7.5e-5, 1e-4, 1.5e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3,
    5e-3, 1e-2, 1e-1,
];

/// Serves Prometheus metrics on a port of their own. Call once in a process, within a tokio runtime.
pub fn install_metrics(address: SocketAddr) -> Result<(), BuildError> {
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Full(OVERHEAD.to_owned()), OVERHEAD_SECONDS)?
        .install()
}

/// How a request ended that had been dispatched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Finished,
    Aborted,
    ClientGone,
    DeadlineExceeded,
    WorkerFailed,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Aborted => "aborted",
            Self::ClientGone => "client_gone",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::WorkerFailed => "worker_failed",
        }
    }
}

/// What of the router's own time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Hash,
    Decide,
    Total,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Decide => "decide",
            Self::Total => "total",
        }
    }
}

pub fn overhead(stage: Stage, span: Duration) {
    histogram!(OVERHEAD, "stage" => stage.name()).record(span.as_secs_f64());
}

pub fn ended(worker: &str, policy: PolicyConfig, outcome: Outcome) {
    counter!(
        "router_requests_total",
        "worker" => worker.to_owned(), "policy" => policy.name(), "outcome" => outcome.name()
    )
    .increment(1);
}

/// A request that no answer stream came of, by the code its client got.
pub fn refused(policy: PolicyConfig, code: Code) {
    counter!(
        "router_requests_refused_total",
        "policy" => policy.name(), "code" => format!("{code:?}")
    )
    .increment(1);
}

/// What the router predicts, in blocks.
pub fn overlap(worker: &str, blocks: u32) {
    counter!("router_overlap_blocks_total", "worker" => worker.to_owned())
        .increment(u64::from(blocks));
}

/// What the worker found, in blocks.
pub fn hit(worker: &str, blocks: u32) {
    counter!("router_hit_blocks_total", "worker" => worker.to_owned()).increment(u64::from(blocks));
}

pub fn kv_batch(worker: &str) {
    counter!("router_kv_event_batches_total", "worker" => worker.to_owned()).increment(1);
}

/// A feed with a hole in it (`gap`), or one that ended up elsewhere (`digest`).
pub fn resync(worker: &str, why: &'static str) {
    counter!("router_kv_event_resyncs_total", "worker" => worker.to_owned(), "why" => why)
        .increment(1);
}

pub fn fleet(joined: usize, refused: usize) {
    gauge!("router_workers_joined").set(joined as f64);
    gauge!("router_workers_refused").set(refused as f64);
}
