//! What is recorded of each request: its lengths, and how long it was in each phase.

use metrics::{Histogram, describe_histogram, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use warmpath_core::time::Instant;

const E2E: &str = "vllm:e2e_request_latency_seconds";
const QUEUE: &str = "vllm:request_queue_time_seconds";
const PREFILL: &str = "vllm:request_prefill_time_seconds";
const DECODE: &str = "vllm:request_decode_time_seconds";
const INFERENCE: &str = "vllm:request_inference_time_seconds";
const PROMPT_TOKENS: &str = "vllm:request_prompt_tokens";
const COMPUTED_TOKENS: &str = "vllm:request_prefill_kv_computed_tokens";
const ANSWER_TOKENS: &str = "vllm:request_generation_tokens";
const MOST_TOKENS: &str = "vllm:request_max_num_generation_tokens";
const MAX_TOKENS: &str = "vllm:request_params_max_tokens";
const ANSWERS: &str = "vllm:request_params_n";

/// vLLM's for all times of a whole request.
const SECONDS: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1_920.0, 7_680.0,
];
/// vLLM's 1, 2, 5 times powers of ten. They end there at the longest context, which no profile has.
const TOKENS: &[f64] = &[
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1_000.0,
    2_000.0,
    5_000.0,
    10_000.0,
    20_000.0,
    50_000.0,
    100_000.0,
    200_000.0,
    500_000.0,
    1_000_000.0,
];
const NUMBERS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0];

pub fn with_buckets(mut builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    for name in [E2E, QUEUE, PREFILL, DECODE, INFERENCE] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), SECONDS)?;
    }
    for name in [PROMPT_TOKENS, COMPUTED_TOKENS, ANSWER_TOKENS, MOST_TOKENS, MAX_TOKENS] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), TOKENS)?;
    }
    builder.set_buckets_for_metric(Matcher::Full(ANSWERS.to_owned()), NUMBERS)
}

/// HELP lines; docs/metrics.md says more.
pub fn describe() {
    describe_histogram!(E2E, "Arrival to the end of the answer, in model seconds");
    describe_histogram!(QUEUE, "Arrival to first admission, in model seconds");
    describe_histogram!(PREFILL, "First admission to first token, in model seconds");
    describe_histogram!(DECODE, "First token to last token, in model seconds");
    describe_histogram!(INFERENCE, "First admission to last token, in model seconds");
    describe_histogram!(PROMPT_TOKENS, "Prompt tokens of a request");
    describe_histogram!(COMPUTED_TOKENS, "Prompt tokens of a request that were not cached");
    describe_histogram!(ANSWER_TOKENS, "Answer tokens of a request");
    describe_histogram!(MOST_TOKENS, "Most answer tokens that a request may have");
    describe_histogram!(MAX_TOKENS, "Most answer tokens that a request asks for");
    describe_histogram!(ANSWERS, "Answers that a request asks for");
}

/// A request that has ended with its whole answer.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub arrived: Instant,
    pub admitted: Instant,
    pub first_token: Instant,
    pub ended: Instant,
    pub prompt_tokens: u64,
    pub computed_tokens: u64,
    pub answer_tokens: u32,
}

pub struct Requests {
    e2e: Histogram,
    queue: Histogram,
    prefill: Histogram,
    decode: Histogram,
    inference: Histogram,
    prompt_tokens: Histogram,
    computed_tokens: Histogram,
    /// The answer always has the length that the request asks for.
    answer_tokens: [Histogram; 3],
    answers: Histogram,
}

impl Requests {
    pub fn new(labels: &[(&'static str, String)]) -> Self {
        let of = |name: &'static str| histogram!(name, labels);
        Self {
            e2e: of(E2E),
            queue: of(QUEUE),
            prefill: of(PREFILL),
            decode: of(DECODE),
            inference: of(INFERENCE),
            prompt_tokens: of(PROMPT_TOKENS),
            computed_tokens: of(COMPUTED_TOKENS),
            answer_tokens: [ANSWER_TOKENS, MOST_TOKENS, MAX_TOKENS].map(of),
            answers: of(ANSWERS),
        }
    }

    pub fn ended(&self, request: &Ended) {
        let Ended { arrived, admitted, first_token, ended, .. } = *request;
        self.e2e.record(ended.since(arrived).as_secs_f64());
        self.queue.record(admitted.since(arrived).as_secs_f64());
        self.prefill.record(first_token.since(admitted).as_secs_f64());
        self.decode.record(ended.since(first_token).as_secs_f64());
        self.inference.record(ended.since(admitted).as_secs_f64());
        self.prompt_tokens.record(request.prompt_tokens as f64);
        self.computed_tokens.record(request.computed_tokens as f64);
        for histogram in &self.answer_tokens {
            histogram.record(f64::from(request.answer_tokens));
        }
        self.answers.record(1.0);
    }
}
