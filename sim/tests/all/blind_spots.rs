//! States in which a rule that looks at prefill work alone sends requests to the wrong worker. The house
//! rule must not lose to rules that know nothing.

use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::{LinearStep, Profile, StepTime};
use warmpath_core::report::{Figures, Slo};
use warmpath_core::rng::Rng;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::tokens::Segment;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::{Pace, TimedReplay, TimedRequest, Trace};
use warmpath_sim::{Observers, Outcome, run};

/// A 70B model in FP8 on two GPUs, in round numbers: 8,192 tokens take a second, a decode step 14 ms and
/// 0.46 ms more for each 8,192 tokens of context.
fn two_gpus(hbm_tokens: u64) -> Profile {
    Profile {
        max_num_seqs: 256,
        max_num_batched_tokens: 8_192,
        kv_bytes_per_token: 327_680,
        step: StepTime::Linear(LinearStep {
            base_ns: 1_500_000.0,
            weights_ns: 12_000_000.0,
            ns_per_token: 120_000.0,
            ns_per_pair: 2.0,
            ns_per_context_token: 56.0,
            ns_per_seq: 10_000.0,
        }),
        ..crate::common::profile(16, Some(hbm_tokens))
    }
}

/// `at_ms`, shared tokens of text 1, own tokens, tokens of the answer.
type Row = (u64, u32, u32, u32);

fn play(rows: &[Row], workers: u32, profile: &Profile, policy: PolicyConfig) -> Outcome {
    let request = |(i, &(at_ms, shared, own, output_tokens)): (usize, &Row)| TimedRequest {
        at_ms,
        prompt: vec![
            Segment::Text { seed: 1, tokens: shared },
            Segment::Text { seed: 100 + i as u64, tokens: own },
        ],
        output_tokens,
    };
    let requests = rows.iter().enumerate().map(request).collect();
    let trace = Arc::new(Trace::new(requests, &ScopePlan::new("", "", "", profile.block_size)));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    let scenario = crate::common::scenario(workers, policy, profile.clone());
    run(&scenario, Workload::Trace(TimedReplay::new(trace, pace)), Observers::default())
        .expect("a world that can be made")
}

fn figures(outcome: &Outcome, workers: u32) -> Figures {
    outcome.recorder.figures(16, workers, &Slo { ttft_s: 2.0, tpot_s: 0.1 })
}

const NAIVE: [PolicyConfig; 3] =
    [PolicyConfig::RoundRobin, PolicyConfig::LeastLoaded, PolicyConfig::SessionAffinity];

/// The least value of a figure over the naive rules.
fn best_naive(rows: &[Row], workers: u32, profile: &Profile, of: impl Fn(&Figures) -> f64) -> f64 {
    let each = NAIVE.map(|policy| of(&figures(&play(rows, workers, profile, policy), workers)));
    each.into_iter().fold(f64::INFINITY, f64::min)
}

/// One popular prefix, eight requests a second for a minute, four workers. While a worker has no copy,
/// requests wait for the one that computes it: that costs the house rule .03 s in the mean. A rule that
/// counts prefill alone keeps nearly all of them on one worker, whose batch fills up.
#[test]
fn a_popular_prefix_does_not_fill_one_worker() {
    let rows: Vec<Row> = (0..480).map(|i| (i * 125, 8_192, 64, 600)).collect();
    let profile = two_gpus(220_000);
    let of = |policy| figures(&play(&rows, 4, &profile, policy), 4);
    let (house, simple) = (of(PolicyConfig::Warmpath), of(PolicyConfig::KvAware));
    let ttft = best_naive(&rows, 4, &profile, |f| f.ttft_s.expect("answers").mean);
    let e2e = best_naive(&rows, 4, &profile, |f| f.e2e_s.expect("answers").mean);
    assert!(
        house.ttft_s.expect("answers").mean < ttft + 0.04,
        "{} against {ttft}",
        house.ttft_s.expect("answers").mean
    );
    assert!(house.ttft_s.expect("answers").p99 < 1.1, "{}", house.ttft_s.expect("answers").p99);
    assert!(
        house.e2e_s.expect("answers").mean < 1.02 * e2e,
        "{} against {e2e}",
        house.e2e_s.expect("answers").mean
    );
    assert!(
        simple.ttft_s.expect("answers").mean > 10.0 * house.ttft_s.expect("answers").mean,
        "kv-aware {}",
        simple.ttft_s.expect("answers").mean
    );
}

/// A second request shares half of its prompt with one whose long answer leaves no room in HBM.
#[test]
fn a_worker_without_room_is_passed_over() {
    let rows = [(0, 5_120, 5_120, 3_000), (5_000, 5_120, 11_264, 10)];
    let profile = two_gpus(20_000);
    let second = |policy| {
        let outcome = play(&rows, 2, &profile, policy);
        let answered = outcome.recorder.answered();
        let ttft = |id| answered.iter().find(|r| r.id.0 == id).expect("an answer").ttft();
        ttft(1).as_secs_f64()
    };
    let (house, simple) = (second(PolicyConfig::Warmpath), second(PolicyConfig::KvAware));
    assert!(house < 2.5, "{house}");
    assert!(simple > 30.0, "kv-aware {simple}");
}

/// Thirty-two workers and one block that all prompts share: the block is not worth a queue.
#[test]
fn a_small_hit_does_not_idle_a_fleet() {
    let rows: Vec<Row> = (0..300).map(|i| (i * 260, 512, 512, 400)).collect();
    let profile = two_gpus(220_000);
    let of = |policy| figures(&play(&rows, 32, &profile, policy), 32);
    let (house, simple) = (of(PolicyConfig::Warmpath), of(PolicyConfig::KvAware));
    let ttft = best_naive(&rows, 32, &profile, |f| f.ttft_s.expect("answers").mean);
    let e2e = best_naive(&rows, 32, &profile, |f| f.e2e_s.expect("answers").mean);
    assert!(
        house.ttft_s.expect("answers").mean < 1.02 * ttft,
        "{} against {ttft}",
        house.ttft_s.expect("answers").mean
    );
    assert!(
        house.e2e_s.expect("answers").mean < 1.02 * e2e,
        "{} against {e2e}",
        house.e2e_s.expect("answers").mean
    );
    let balance = |f: &Figures| f.balance_max_over_mean.expect("workers are known");
    assert!(balance(&house) < 2.0 && balance(&simple) > 5.0, "{}", balance(&house));
}

/// The kind of these cases. In random small fleets, no request waits longer for its worker than it would
/// take to compute all of it on one that was idle when the request was sent.
#[test]
fn no_idle_worker_is_passed_over_for_a_longer_wait() {
    let found = |policy| (0..300).find_map(|seed| passed_over(seed, policy));
    assert_eq!(found(PolicyConfig::Warmpath), None);
    assert!(
        found(PolicyConfig::KvAware).is_some(),
        "these fleets are too easy to tell rules apart"
    );
}

/// A request of a random fleet that waited although a worker was idle.
fn passed_over(seed: u64, policy: PolicyConfig) -> Option<String> {
    let rng = &mut Rng::named(seed, &[0x626c_696e]);
    let mut between = |low: u64, high: u64| low + rng.below(high - low + 1);
    let workers = between(2, 6) as u32;
    let longest = 8_000;
    let mut profile = two_gpus(between(12_000, 200_000));
    profile.max_num_seqs = between(1, 32) as u32;
    let gap = between(20, 3_000);
    let mut at = 0;
    let rows: Vec<Row> = (0..60)
        .map(|_| {
            at += between(0, 2 * gap);
            let shared = between(0, longest / 2) as u32 / 16 * 16;
            (at, shared, between(1, longest / 2) as u32, between(1, 1_500) as u32)
        })
        .collect();
    let outcome = play(&rows, workers, &profile, policy);
    let cold = profile.prefill_cost();
    let answered = outcome.recorder.answered();
    answered.iter().find_map(|request| {
        let is_idle = |worker| {
            !answered.iter().any(|other| {
                let busy = other.sent <= request.sent && request.sent < other.ended;
                other.id != request.id && other.worker.0 == worker && busy
            })
        };
        let (_, shared, own, _) = rows[request.id.0 as usize];
        let alone = cold.estimate(shared + own, 0).as_secs_f64();
        let waited = request.ttft().as_secs_f64();
        // A step may be under way, prompts that came with it are computed beside it, and the network
        // takes four hops.
        let slack = 0.35 + 0.25 * alone;
        let found = waited > alone + slack && (0..workers).any(is_idle);
        found.then(|| format!("seed {seed}, {}: {waited} s against {alone} s", request.id))
    })
}
