//! How requests were served: how long their clients waited, and how good the decisions about them were.

use crate::policy::ActivePolicy;
use crate::series::{
    DECISIONS, E2E, LOST, NOT_BEST, NOT_EXPECTED, NOT_FOUND, OfWorker, PROMPT_BLOCKS, TTFT,
};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use std::sync::Arc;

/// Finer than an engine's where a router can make a difference: from a warm prefix to a cold long prompt.
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0,
    1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0,
];

pub fn with_buckets(mut builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    for name in [TTFT, E2E] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), SECONDS)?;
    }
    Ok(builder)
}

/// HELP lines; docs/metrics.md says more.
pub fn describe() {
    describe_histogram!(
        TTFT,
        Unit::Seconds,
        "From a request's arrival here to its first token, in model seconds"
    );
    describe_histogram!(
        E2E,
        Unit::Seconds,
        "From a request's arrival here to the end of its answer, in model seconds"
    );
    describe_counter!(DECISIONS, "Requests that were sent to a worker, further attempts included");
    describe_counter!(NOT_BEST, "Decisions for a worker while another one held more of the prompt");
    describe_counter!(PROMPT_BLOCKS, "Blocks of decided prompts that a worker could have found");
    describe_counter!(LOST, "Blocks that the best holder had and the chosen worker had not");
    describe_counter!(NOT_FOUND, "Blocks that the rule expected and the worker did not find");
    describe_counter!(NOT_EXPECTED, "Blocks that the worker found and the rule did not expect");
}

/// The series of a rule before its first decision.
pub fn zero(policy: &ActivePolicy) {
    for name in [TTFT, E2E] {
        let _ = histogram!(name, "policy" => Arc::clone(&policy.label));
    }
    for name in [DECISIONS, NOT_BEST, PROMPT_BLOCKS, LOST] {
        counter!(name, "policy" => Arc::clone(&policy.label)).increment(0);
    }
}

/// A client has its first token. `span`: model seconds.
pub fn first_token(policy: &ActivePolicy, span: f64) {
    policy.series.ttft.record(span);
}

/// A client has its whole answer. `span`: model seconds.
pub fn answered(policy: &ActivePolicy, span: f64) {
    policy.series.e2e.record(span);
}

/// A rule chose a worker for a prompt of which so many blocks could be found. `lost`: what the best holder had of
/// them and the chosen worker had not.
pub fn decided(policy: &ActivePolicy, blocks: u32, lost: u32) {
    let series = &policy.series;
    series.decisions.increment(1);
    series.prompt_blocks.increment(u64::from(blocks));
    series.lost.increment(u64::from(lost));
    series.not_best.increment(u64::from(lost > 0));
}

/// What the worker found, beside what the rule had expected.
pub fn expectation(worker: &OfWorker, expected: u32, found: u32) {
    worker.not_found.increment(u64::from(expected.saturating_sub(found)));
    worker.not_expected.increment(u64::from(found.saturating_sub(expected)));
}
