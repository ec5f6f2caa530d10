//! `dynamo-kv-router` 1.6.1, `src/scheduling/selector/reference.rs`.

use crate::bench::Bench;
use std::collections::BTreeMap;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::{Dynamo, PolicyConfig};

/// Ten blocks. w0 has four of them in HBM, w1 six, of which four are in host memory:
/// 10 - 4 + 10 = 16 against 10 - (2 + .75 x 4) + 10 = 15.
#[test]
fn blocks_in_host_memory_count_three_quarters() {
    let bench = |rule: Dynamo| {
        let mut bench = Bench::new(rule.into(), 2);
        bench.stores(0, TierId::HBM, "abcd", 0);
        bench.stores(1, TierId::HBM, "ab", 0);
        bench.stores(1, TierId::HOST, "abcdef", 2);
        bench
    };
    let decision = bench(Dynamo::DEFAULT).decide("abcdefghij");
    assert_eq!((decision.worker.0, decision.overlap), (1, Some([2, 4, 0, 0])));
    let none = Dynamo { host: 0.25, ..Dynamo::DEFAULT };
    assert_eq!(bench(none).send("abcdefghij"), 0, "16 against 17");
}

/// w0 computes five blocks for another: 5 + 5 - 5 of prefill and 10 active blocks against 5 and 5.
#[test]
fn queued_prefill_and_active_blocks_weigh_against_a_hit() {
    let mut bench = Bench::new(PolicyConfig::Dynamo, 2);
    bench.stores(0, TierId::HBM, "abcde", 0);
    let other = bench.send("vwxyz");
    bench.stores(1 - other, TierId::HBM, "fghij", 0);
    // It is idle and holds the prompt.
    assert_eq!(bench.send("fghij"), 1 - other);
    // The first request's blocks are shared, so they count once: 0 + 5 against 5 + 5 + 5.
    bench.first_token(1);
    bench.stores(other, TierId::HBM, "vwxyz", 0);
    assert_eq!(bench.send("vwxyz"), other);
}

/// Equal costs go to all workers alike; a temperature spreads unequal ones.
#[test]
fn chance_decides_between_equals() {
    let spread = |rule: Dynamo| {
        let mut counts = BTreeMap::new();
        let mut bench = Bench::new(rule.into(), 2);
        bench.stores(0, TierId::HBM, "ab", 0);
        for _ in 0..400 {
            let worker = bench.send("ab");
            bench.finish(bench.sent);
            *counts.entry(worker).or_insert(0) += 1;
        }
        (counts.get(&0).copied().unwrap_or(0), counts.get(&1).copied().unwrap_or(0))
    };
    let (hit, miss) = spread(Dynamo { overlap: 0.0, ..Dynamo::DEFAULT });
    assert!(hit.min(miss) > 150, "{hit} and {miss}");
    assert_eq!(spread(Dynamo::DEFAULT), (400, 0));
    // exp(-1 / 0.5) is .135: one in 8.4.
    let (_, miss) = spread(Dynamo { temperature: 0.5, ..Dynamo::DEFAULT });
    assert!((25..80).contains(&miss), "{miss}");
}

/// A hit in host memory is booked with the weight of its tier: 100 tokens less .75 x 40 are seven blocks
/// on w0. The next request goes to w1 and is ten blocks there. Of a third one, w1 holds three blocks in HBM
/// and one in host memory: 7 + 5 + 15 = 27 against 10 + 5 - 3.75 + 15 = 26.25. Unweighted, w0 would have
/// 26.
#[test]
fn what_is_booked_is_weighed_by_tier() {
    let mut bench = Bench::new(PolicyConfig::Dynamo, 2);
    bench.stores(0, TierId::HOST, "abcd", 0);
    assert_eq!((bench.send("abcdefghij"), bench.send("klmnopqrst")), (0, 1));
    bench.stores(1, TierId::HBM, "uvw", 0);
    bench.stores(1, TierId::HOST, "uvwx", 3);
    assert_eq!(bench.send("uvwxy"), 1);
}

/// The first request's four blocks are under way on w0 and computed. All four are shared with an equal
/// request: 4 - 3 + 4 + 0 = 5 against 4 - 2.75 + 4 = 5.25. If the last did not count as shared, w0 would
/// have 6.
#[test]
fn an_equal_prompt_shares_all_its_blocks() {
    let mut bench = Bench::new(PolicyConfig::Dynamo, 2);
    bench.stores(0, TierId::HBM, "abc", 0);
    bench.stores(1, TierId::HBM, "ab", 0);
    bench.stores(1, TierId::HOST, "abc", 2);
    assert_eq!(bench.send("abcd"), 0);
    bench.first_token(1);
    assert_eq!(bench.send("abcd"), 0);
}

/// One block is queued where the hit is. 15 tokens are two blocks, so the credit of 1.7 falls to
/// 1.7 / (1 + 1/2) = 1.13: 1 + 1.5 - 1.13 against 1.5. With one block it would fall to .85.
#[test]
fn credit_decays_by_the_blocks_of_the_request_rounded_up() {
    let worker = |overlap_decay| {
        let rule = Dynamo { overlap: 1.7, overlap_decay, ..Dynamo::DEFAULT };
        let mut bench = Bench::new(rule.into(), 2);
        let busy = bench.send("a");
        bench.stores(busy, TierId::HBM, "a", 0);
        bench.send("a5") == busy
    };
    assert_eq!((worker(1.0), worker(2.0)), (true, false));
}
