//! The metrics. The buckets for overhead begin at 1 µs: a hop takes microseconds, and the usual
//! buckets of a serving engine are too coarse for it.

pub mod served;
pub mod zero;

use crate::fleet::status::FleetStatus;
use crate::policy::ActivePolicy;
use crate::series::{EXPECTED, FOUND, OVERHEAD, OfWorker, REQUESTS};
use crate::source::vllm_events::DROPPED;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use warmpath_core::id::{ORIGINS, PoolId, SourceId, WorkerId};
use warmpath_core::routing::input::{Failure, Pull};

pub const TAKES: &str = "warmpath_router_worker_takes_requests";
pub const NAMED: &str = "warmpath_router_worker_info";
pub const ACTIVE: &str = "warmpath_router_worker_active_requests";
pub const BACKLOG: &str = "warmpath_router_worker_backlog_seconds";
pub const IN_FLIGHT: &str = "warmpath_router_requests_in_flight";
pub const RUNS: &str = "warmpath_router_index_runs";
pub const SPEEDUP: &str = "warmpath_router_speedup";
pub const HELD: &str = "warmpath_router_requests_held";
pub const HELD_TOKENS: &str = "warmpath_router_held_prompt_tokens";
pub const SIBLINGS: &str = "warmpath_router_siblings";
pub const SIBLING_BOOKINGS: &str = "warmpath_router_sibling_bookings";
const SIBLING_NEWS: &str = "warmpath_router_sibling_news_total";
const SIBLING_GAPS: &str = "warmpath_router_sibling_gaps_total";
const REFUSED: &str = "warmpath_router_requests_refused_total";
const RESYNCS: &str = "warmpath_router_kv_event_resyncs_total";
const UNCLAIMED: &str = "warmpath_router_unclaimed_actions_total";
const HOLD: &str = "warmpath_router_hold_seconds";
const CONNECTIONS_ENDED: &str = "warmpath_router_connections_ended_total";
const ATTEMPTS_FAILED: &str = "warmpath_router_attempts_failed_total";
const TRIED_AGAIN: &str = "warmpath_router_tried_again_total";
pub const IN_ROTATION: &str = "warmpath_router_worker_in_rotation";
pub const EJECTIONS: &str = "warmpath_router_worker_ejections";
pub const SHADOW_REQUESTS: &str = "warmpath_router_shadow_requests_total";
pub const SHADOW_TOKENS: &str = "warmpath_router_shadow_prompt_tokens_total";
pub const SHADOW_HITS: &str = "warmpath_router_shadow_hit_tokens_total";
pub const SHADOW_TTFT: &str = "warmpath_router_shadow_expected_ttft_seconds";
const CAPTURED: &str = "warmpath_router_captured_total";

const OVERHEAD_SECONDS: &[f64] = &[
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 7.5e-5, 1e-4, 1.5e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3,
    5e-3, 1e-2, 1e-1,
];

const HOLD_SECONDS: &[f64] =
    &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0];

/// Measures from now on. The handle has Prometheus' text, which is also served at `address`, if there is one.
/// Call it once in a process, in a tokio runtime.
pub fn install_metrics(address: Option<SocketAddr>) -> Result<PrometheusHandle, BuildError> {
    let builder = served::with_buckets(PrometheusBuilder::new())?
        .set_buckets_for_metric(Matcher::Full(OVERHEAD.to_owned()), OVERHEAD_SECONDS)?
        .set_buckets_for_metric(Matcher::Full(HOLD.to_owned()), HOLD_SECONDS)?;
    let handle = warmpath_proto::measured::install(builder, address)?;
    describe();
    Ok(handle)
}

/// HELP lines; docs/metrics.md says more.
fn describe() {
    describe_histogram!(
        OVERHEAD,
        Unit::Seconds,
        "The router's own time per request, by stage, in wall seconds"
    );
    describe_counter!(REQUESTS, "Requests that were sent to a worker, by how they ended");
    describe_counter!(
        CONNECTIONS_ENDED,
        "Connections and answers that the public listener ended or did not accept, by limit"
    );
    describe_counter!(ATTEMPTS_FAILED, "Attempts that failed on a worker, by how they failed");
    describe_counter!(DROPPED, "Blocks of vLLM's KV events that are not in the index, by reason");
    describe_counter!(TRIED_AGAIN, "Requests that were sent to a worker after a failed attempt");
    describe_gauge!(
        IN_ROTATION,
        "0 while the router keeps requests away because calls fail, else 1"
    );
    describe_gauge!(EJECTIONS, "How often in a row the worker left rotation");
    describe_counter!(REFUSED, "Requests without an answer stream, by gRPC code");
    describe_counter!(EXPECTED, "Blocks that the router predicted the worker would find");
    describe_counter!(FOUND, "Blocks that the worker reported as found");
    describe_counter!(
        "warmpath_router_kv_event_batches_total",
        "Batches of store changes applied to the prefix index"
    );
    describe_counter!(RESYNCS, "New snapshots: after a gap, or a digest that differed");
    describe_gauge!("warmpath_router_workers_joined", "Workers in the fleet");
    describe_gauge!(
        "warmpath_router_workers_refused",
        "Workers and pools that do not match this router"
    );
    describe_gauge!("warmpath_router_pools_followed", "Pools whose blocks are in the prefix index");
    describe_counter!(
        "warmpath_router_pull_blocks_total",
        "Blocks that a worker was told to fetch from a pool or a peer"
    );
    describe_counter!(
        "warmpath_router_pulled_blocks_total",
        "Blocks that a worker reported as fetched from there"
    );
    describe_gauge!(TAKES, "1 if new requests may go there, else 0");
    describe_gauge!(NAMED, "1 while the worker has this name and this address, else 0");
    describe_gauge!(ACTIVE, "Requests booked on the worker and not ended");
    describe_gauge!(
        BACKLOG,
        Unit::Seconds,
        "Predicted prefill work booked on the worker and not done, in model seconds"
    );
    describe_gauge!(IN_FLIGHT, "Requests whose clients wait");
    describe_gauge!(SIBLINGS, "Other routers before the fleet whose news come");
    describe_gauge!(SIBLING_BOOKINGS, "Requests of other routers that are booked here");
    describe_counter!(SIBLING_NEWS, "News of requests that routers told each other, by direction");
    describe_counter!(SIBLING_GAPS, "How often another router was followed anew, by why");
    describe_gauge!(HELD, "Requests that are held until a worker has room");
    describe_gauge!(HELD_TOKENS, "Prompt tokens of the requests that are held");
    describe_histogram!(
        HOLD,
        Unit::Seconds,
        "How long a request was held, by how that ended, in wall seconds"
    );
    describe_counter!(
        UNCLAIMED,
        "Decisions that no task waited for; above 0 is a fault of the router"
    );
    describe_counter!(
        SHADOW_REQUESTS,
        "Requests that a rule beside the policy was asked about, by its choice: same worker, other or held"
    );
    describe_counter!(SHADOW_TOKENS, "Prompt tokens of the requests that it would have sent");
    describe_counter!(
        SHADOW_HITS,
        "Those of them that the worker held: the one that got the request, or the rule's"
    );
    describe_gauge!(
        SHADOW_TTFT,
        Unit::Seconds,
        "The sum of the expected times to the first token of these requests, in model seconds"
    );
    describe_counter!(
        CAPTURED,
        "Requests over while traffic is captured, by outcome: written or lost"
    );
    served::describe();
    describe_gauge!(RUNS, "Runs of blocks in the prefix index");
    describe_gauge!(SPEEDUP, "Model seconds in a second of the wall clock; rate() is by wall time");
}

/// How a request ended that was sent to a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Finished,
    Aborted,
    ClientGone,
    DeadlineExceeded,
    WorkerFailed,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Aborted => "aborted",
            Self::ClientGone => "client_gone",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::WorkerFailed => "worker_failed",
        }
    }
}

/// What became of the row of a request that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    Written,
    Lost,
}

pub fn captured(row: Row) {
    let outcome = match row {
        Row::Written => "written",
        Row::Lost => "lost",
    };
    counter!(CAPTURED, "outcome" => outcome).increment(1);
}

pub fn ended(worker: &OfWorker, policy: &ActivePolicy, outcome: Outcome) {
    match outcome {
        Outcome::Finished => worker.finished(&policy.label, outcome.name()),
        other => worker.requests(&policy.label, other.name()).increment(1),
    }
}

/// An attempt at a request failed on its worker.
pub fn attempt_failed(worker: &str, how: Failure) {
    counter!(ATTEMPTS_FAILED, "worker" => worker.to_owned(), "how" => how.name()).increment(1);
}

/// A request whose attempt failed was sent to this worker.
pub fn tried_again(worker: &str) {
    counter!(TRIED_AGAIN, "worker" => worker.to_owned()).increment(1);
}

/// A request without an answer stream, by the status code its client got.
pub fn refused(policy: &ActivePolicy, code: String) {
    counter!(REFUSED, "policy" => Arc::clone(&policy.label), "code" => code).increment(1);
}

/// The public listener ended a connection or an answer, or did not accept it. `why`: the limit.
pub fn connection_ended(why: &'static str) {
    counter!(CONNECTIONS_ENDED, "why" => why).increment(1);
}

/// A request that was held is not held any more.
pub fn hold_ended(outcome: &'static str, span: Duration) {
    histogram!(HOLD, "outcome" => outcome).record(span.as_secs_f64());
}

/// The core router decided about a request that no task waits for.
pub fn unclaimed_action() {
    counter!(UNCLAIMED).increment(1);
}

/// A pull that was decided, in blocks.
pub fn pull(worker: &str, pull: Pull) {
    counter!(
        "warmpath_router_pull_blocks_total", "worker" => worker.to_owned(), "from" => kind(pull.from)
    )
    .increment(u64::from(pull.blocks));
}

/// Counts the cached blocks that the worker got from pools and from other workers.
pub fn pulled(worker: &str, by_origin: &[u32; ORIGINS]) {
    for from in [SourceId::Pool(PoolId(0)), SourceId::Worker(WorkerId(0))] {
        let blocks = by_origin[from.origin()];
        if blocks > 0 {
            let worker = worker.to_owned();
            counter!("warmpath_router_pulled_blocks_total", "worker" => worker, "from" => kind(from))
                .increment(u64::from(blocks));
        }
    }
}

const fn kind(source: SourceId) -> &'static str {
    match source {
        SourceId::Worker(_) => "peer",
        SourceId::Pool(_) => "pool",
    }
}

pub fn kv_batch(worker: &str) {
    counter!("warmpath_router_kv_event_batches_total", "worker" => worker.to_owned()).increment(1);
}

/// A feed that is opened again. `why`: the error's kind.
pub fn resync(worker: &str, why: &'static str) {
    counter!(RESYNCS, "worker" => worker.to_owned(), "why" => why).increment(1);
}

/// News that were told to one sibling (`sent`), or came from one (`received`).
pub fn sibling_news(direction: &'static str, count: u64) {
    counter!(SIBLING_NEWS, "direction" => direction).increment(count);
}

/// A sibling is followed anew. `why`: the error's kind.
pub fn sibling_gap(why: &'static str) {
    counter!(SIBLING_GAPS, "why" => why).increment(1);
}

pub fn fleet(status: &FleetStatus) {
    gauge!("warmpath_router_workers_joined").set(status.joined.len() as f64);
    gauge!("warmpath_router_pools_followed").set(status.pools.len() as f64);
    gauge!("warmpath_router_workers_refused").set(status.refused.len() as f64);
}
