//! LMetric, arXiv 2603.15202, with the batch size plus one.

use crate::bench::Bench;
use std::collections::BTreeSet;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::PolicyConfig;

/// w0 has 8 of 10 blocks and decodes `busy` requests; w1 is idle: 20 x (busy + 1) against 100 x 1.
/// Without the one, an idle worker would always win.
#[test]
fn tokens_to_compute_are_multiplied_by_the_batch_and_this_request() {
    for (busy, expected) in [(0, 0), (3, 0), (5, 1)] {
        let mut bench = Bench::new(PolicyConfig::LMetric, 2);
        bench.stores(0, TierId::HBM, "x", 0);
        bench.stores(0, TierId::HBM, "abcdefgh", 0);
        for _ in 0..busy {
            // Held but for one token: 1 x (busy + 1) against 11 x 1.
            assert_eq!(bench.send("x1"), 0);
            bench.first_token(bench.sent);
        }
        assert_eq!(bench.send("abcdefghij"), expected, "{busy} requests");
    }
}

/// w0 has one of three blocks, so 20 tokens are queued there. For another prompt, of which it has two
/// of five blocks, it counts (20 + 30) x 2 = 100 against 50, and once the queue is computed
/// (0 + 30) x 2 = 60 against 50. A sum would choose it: 30 against 50.
#[test]
fn queued_tokens_count_and_a_product_is_not_a_sum() {
    let mut bench = Bench::new(PolicyConfig::LMetric, 2);
    bench.stores(0, TierId::HBM, "k", 0);
    bench.stores(0, TierId::HBM, "ab", 0);
    assert_eq!(bench.send("klm"), 0, "20 against 30");
    // 100 against 40, but the sum is 50 against 40 too.
    assert_eq!(bench.send("abcd"), 1, "(20 + 20) x 2 against 40");
    bench.finish(bench.sent);
    bench.first_token(1);
    assert_eq!(bench.send("abcde"), 1);
    bench.finish(bench.sent);
    bench.finish(1);
    assert_eq!(bench.send("abcde"), 0, "30 against 50");
}

#[test]
fn chance_decides_between_equals() {
    let mut bench = Bench::new(PolicyConfig::LMetric, 3);
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        seen.insert(bench.send("ab"));
        bench.finish(bench.sent);
    }
    assert_eq!(seen.len(), 3);
}
