//! One worker, a handful of arrivals, every latency worked by hand.

use crate::common::by_hand;
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::Profile;
use warmpath_core::id::RequestId;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::tokens::Segment;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::{Pace, TimedReplay, TimedRequest, Trace};
use warmpath_sim::{Group, Network, Observers, Outcome, Scenario};

fn run(profile: Profile, hop_us: f64, requests: Vec<TimedRequest>) -> Outcome {
    let scope = ScopePlan::new("", "", "", profile.block_size);
    let trace = Arc::new(Trace::new(requests, &scope));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    let network = Network { hop_us, ..Network::default() };
    let scenario =
        Scenario { network, ..Scenario::plain(Group::alone(1, profile), PolicyConfig::KvAware) };
    let workload = Workload::Trace(TimedReplay::new(trace, pace));
    warmpath_sim::run(&scenario, workload, Observers::default()).expect("a world that can be made")
}

fn text(seed: u64, tokens: u32) -> Segment {
    Segment::Text { seed, tokens }
}

/// (request, TTFT in us, end to end in us, cached tokens), by request.
fn latencies(outcome: &Outcome) -> Vec<(u64, u64, u64, u32)> {
    let mut all: Vec<_> = outcome
        .recorder
        .answered()
        .iter()
        .map(|r| {
            let us = |ns: u64| ns / 1_000;
            let e2e = us(r.ended.since(r.sent).as_nanos());
            (r.id.0, us(r.ttft().as_nanos()), e2e, r.cached_tokens)
        })
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn chunks_batches_and_hits_take_the_time_they_should() {
    let requests = vec![
        // Chunks of 1,000 and 500 tokens: 2.000 + 1.500 = first token at 3.500. Two more tokens at
        // 1.001 each would end at 5.502.
        TimedRequest { at_ms: 0, prompt: vec![text(1, 1_500)], output_tokens: 3 },
        // Comes at 4.000, in the first one's step to 4.501. The next step holds its 200 tokens and
        // one of the first's: 1.201, to 5.702. There the first one ends and this one's first token
        // comes, 1.702 after it was sent; its second takes 1.001 more: 2.703.
        TimedRequest { at_ms: 4, prompt: vec![text(2, 200)], output_tokens: 2 },
        // The first prompt and 100 tokens more: 15 blocks are there, 100 tokens take 1.100.
        TimedRequest { at_ms: 10, prompt: vec![text(1, 1_500), text(3, 100)], output_tokens: 1 },
    ];
    let outcome = run(by_hand(), 0.0, requests);
    assert_eq!(
        latencies(&outcome),
        [(0, 3_500, 5_702, 0), (1, 1_702, 2_703, 0), (2, 1_100, 1_100, 1_500)]
    );
    let figures =
        outcome.recorder.figures(100, 1, &warmpath_core::report::Slo { ttft_s: 1.0, tpot_s: 1.0 });
    assert_eq!(figures.prefill_tokens_cached, 1_500);
    assert_eq!(figures.hit_rate, Some(1_500.0 / 3_300.0));
    assert_eq!(figures.hit_rate_blocks, Some(15.0 / 33.0));
}

#[test]
fn a_hop_counts_four_times() {
    let one = || vec![TimedRequest { at_ms: 0, prompt: vec![text(1, 1_000)], output_tokens: 1 }];
    let near = latencies(&run(by_hand(), 0.0, one()))[0].1;
    let far = latencies(&run(by_hand(), 250.0, one()))[0].1;
    assert_eq!((near, far), (2_000, 3_000), "to the router, to the worker, and back");
}

#[test]
fn a_whole_prompt_that_is_cached_still_computes_one_block() {
    let prompt = || vec![text(1, 1_000)];
    let requests = vec![
        TimedRequest { at_ms: 0, prompt: prompt(), output_tokens: 1 },
        TimedRequest { at_ms: 100, prompt: prompt(), output_tokens: 1 },
    ];
    let outcome = run(by_hand(), 0.0, requests);
    // Nine of ten blocks, since the last token must be computed: 100 tokens, 1.100.
    assert_eq!(latencies(&outcome)[1], (1, 1_100, 1_100, 900));
}

#[test]
fn a_request_larger_than_any_worker_is_refused_and_counted() {
    let small = Profile { hbm_tokens: Some(1_000), ..by_hand() };
    let requests = vec![
        TimedRequest { at_ms: 0, prompt: vec![text(1, 1_001)], output_tokens: 1 },
        // Fits as a prompt, not with its answer.
        TimedRequest { at_ms: 0, prompt: vec![text(2, 990)], output_tokens: 11 },
        TimedRequest { at_ms: 0, prompt: vec![text(3, 990)], output_tokens: 10 },
    ];
    let outcome = run(small, 0.0, requests);
    let figures =
        outcome.recorder.figures(100, 1, &warmpath_core::report::Slo { ttft_s: 1.0, tpot_s: 1.0 });
    assert_eq!((figures.offered, figures.requests, figures.errors), (3, 1, 2));
    assert_eq!(outcome.recorder.answered()[0].id, RequestId(2));
    let reasons: Vec<_> = figures.errors_by_reason.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["prompt too large for any worker", "request too large for any worker"]);
}
