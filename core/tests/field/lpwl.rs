//! Least prefill work left, agentic-kvc.

use crate::bench::Bench;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::PolicyConfig;

/// w0 has two of five blocks and 20 tokens queued: 20 + 30 against 50 are equal, and w1 has fewer
/// requests. Once the queue is computed, 30 against 50, although w0 still decodes.
#[test]
fn queued_and_new_tokens_are_added_and_requests_only_break_ties() {
    let mut bench = Bench::new(PolicyConfig::Lpwl, 2);
    bench.stores(0, TierId::HBM, "k", 0);
    bench.stores(0, TierId::HBM, "ab", 0);
    assert_eq!(bench.send("klm"), 0, "20 against 30");
    assert_eq!(bench.send("abcde"), 1, "50 against 50, one request against none");
    bench.finish(2);
    assert_eq!(bench.send("abcdef"), 1, "60 against 60");
    bench.finish(3);
    bench.first_token(1);
    let decision = bench.decide("abcde");
    assert_eq!((decision.worker.0, decision.overlap), (0, Some([2, 0, 0, 0])));
}

/// Three idle workers that hold nothing.
#[test]
fn among_equals_the_next_in_turn() {
    let mut bench = Bench::new(PolicyConfig::Lpwl, 3);
    let went: Vec<u32> = (0..5)
        .map(|_| {
            let worker = bench.send("ab");
            bench.finish(bench.sent);
            worker
        })
        .collect();
    assert_eq!(went, [0, 1, 2, 0, 1]);
}
