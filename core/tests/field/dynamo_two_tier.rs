//! `dynamo-custom-policy-builtin` 1.6.1, `src/two_tier_cost_fn.rs`.

use crate::bench::Bench;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::{DynamoTwoTier, PolicyConfig};

/// w1 holds `held` of ten blocks and has four requests; w0 has none.
fn with_hit(held: &str, tier: TierId) -> Bench {
    let mut bench = Bench::new(PolicyConfig::DynamoTwoTier, 2);
    bench.stores(1, TierId::HBM, "vwx", 0);
    // Two of three blocks may be reused: .67 is over .5.
    for _ in 0..4 {
        assert_eq!(bench.send("vwx"), 1);
    }
    bench.stores(1, tier, held, 0);
    bench
}

/// 6 / 10 is over .5; 5 / 10 is not, since the comparison is strict.
#[test]
fn the_longest_hit_wins_from_more_than_half_the_prompt_on() {
    assert_eq!(with_hit("abcdef", TierId::HBM).send("abcdefghij"), 1);
    assert_eq!(with_hit("abcde", TierId::HBM).send("abcdefghij"), 0);
    assert_eq!(with_hit("abcdef", TierId::HOST).send("abcdefghij"), 0, "only HBM counts");
}

/// 35 tokens are four blocks: 2 / 4 is not over .5, 2 / 3 would be.
#[test]
fn a_block_that_is_not_full_counts_to_the_request() {
    assert_eq!(with_hit("ab", TierId::HBM).send("abc5"), 0);
    assert_eq!(with_hit("abc", TierId::HBM).send("abc5"), 1);
}

/// 32 requests more are not more than 32; 33 are, and 33 > 1.1 x 0.
#[test]
fn loads_that_are_far_apart_come_first() {
    let mut bench = Bench::new(PolicyConfig::DynamoTwoTier, 2);
    bench.stores(1, TierId::HBM, "vwx", 0);
    for i in 0..33 {
        assert_eq!(bench.send("vwx"), 1, "{i}");
    }
    assert_eq!(bench.send("vwx"), 0);
}

/// At abs = 0 and rel = 2, w1 may have twice what w0 has: 2 > 2 x 1 is false, 3 > 2 x 1 is true.
#[test]
fn both_gates_must_open() {
    let rule = DynamoTwoTier { abs: 0, rel: 2.0, ..DynamoTwoTier::DEFAULT };
    let mut bench = Bench::new(rule.into(), 2);
    bench.stores(0, TierId::HBM, "lmn", 0);
    bench.stores(1, TierId::HBM, "vwx", 0);
    assert_eq!(bench.send("lmn"), 0);
    let to: Vec<u32> = (0..4).map(|_| bench.send("vwx")).collect();
    assert_eq!(to, [1, 1, 1, 0]);
}

/// Of two workers with the longest hit, the one with fewer requests; of equals, the first.
#[test]
fn among_holders_the_least_loaded_wins() {
    let mut bench = Bench::new(PolicyConfig::DynamoTwoTier, 3);
    for worker in [1, 2] {
        bench.stores(worker, TierId::HBM, "vwx", 0);
    }
    let to: Vec<u32> = (0..4).map(|_| bench.send("vwx")).collect();
    assert_eq!(to, [1, 2, 1, 2]);
    assert_eq!(bench.send("a"), 0, "no hit");
}
