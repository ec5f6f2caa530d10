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
