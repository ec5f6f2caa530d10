//! `least_load` of SMG: `model_gateway/src/policies/least_load.rs` at f8daa883.

use crate::bench::Bench;
use warmpath_core::event::LoadReport;
use warmpath_core::id::{MAX_TIERS, WorkerId};
use warmpath_core::routing::input::Input;
use warmpath_core::routing::policy::{PolicyConfig, SmgLeastLoad};

/// 20 blocks of 10 tokens.
const PROMPT: &str = "abcdefghijklmnopqrst";

fn report(bench: &mut Bench, worker: u32, waiting: u32, tokens: u64, blocks_in_use: u64) {
    bench.tell(&Input::Load(LoadReport {
        worker: WorkerId(worker),
        epoch: 1,
        seq: 0,
        waiting,
        running: 0,
        queued_prefill_tokens: tokens,
        blocks_by_tier: [0; MAX_TIERS],
        blocks_in_use,
        digest: None,
    }));
}

/// w0: 2,000 tokens at 2,000 a second, 1 s. w1: 90 % of its memory, .15 x .9 / .1 = 1.35 s. Each request
/// of 200 tokens adds .1 s to w0: four go there (at 1, 1.1, 1.2, 1.3), the fifth, at 1.4, to w1. The next
/// poll reads the same reports, and what was sent before it does not count any more.
#[test]
fn the_wait_is_the_queue_what_was_sent_since_the_poll_and_the_price_of_memory() {
    let sent = |rule: SmgLeastLoad| {
        let mut bench = Bench::new(rule.into(), 2);
        report(&mut bench, 0, 1, 2_000, 0);
        report(&mut bench, 1, 0, 0, 90);
        bench.at(10.0);
        let mut sent: Vec<u32> = (0..5).map(|_| bench.send(PROMPT)).collect();
        sent.push(bench.at(20.0).send(PROMPT));
        sent
    };
    assert_eq!(sent(SmgLeastLoad::DEFAULT), [0, 0, 0, 0, 1, 0]);
    // .1 x 9 is .9 s; w1 has 1.0 from its first request on, and more than w0 from the second on.
    let cheap = sent(SmgLeastLoad { kv: 0.1, ..SmgLeastLoad::DEFAULT });
    assert_eq!((cheap[0], cheap[5]), (1, 1));
}

/// One request waits: 1,024 tokens, .512 s. Two: 1.024 s. The other worker has 2,000 tokens, 1 s.
#[test]
fn a_queue_without_tokens_counts_as_mean_prompts() {
    let chosen = |waiting| {
        let mut bench = Bench::new(PolicyConfig::SmgLeastLoad, 2);
        report(&mut bench, 0, waiting, 0, 0);
        report(&mut bench, 1, 0, 2_000, 0);
        bench.at(10.0).send(PROMPT)
    };
    assert_eq!((chosen(1), chosen(2)), (0, 1));
}

/// No report: the fewest requests. Once w0 has reported .5 s of work, w1's one request counts as 1,024
/// tokens, .512 s.
#[test]
fn a_worker_without_a_report_is_judged_by_its_requests() {
    let mut bench = Bench::new(PolicyConfig::SmgLeastLoad, 2);
    let first = bench.send(PROMPT);
    assert_eq!(bench.send(PROMPT), 1 - first);
    report(&mut bench, 0, 1, 1_000, 0);
    assert_eq!(bench.at(10.0).send(PROMPT), 0, ".5 against .512");
    assert_eq!(bench.send(PROMPT), 1, ".6 against .512");
}
