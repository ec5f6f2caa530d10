//! `kv_aware` of vllm-project/router: `src/policies/kv_aware.rs` at dda6063b.

use crate::bench::Bench;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::{PolicyConfig, VllmRouterKvAware};

/// Rust's `max_by_key` returns the last of equals, `min_by_key` the first.
#[test]
fn the_most_blocks_win_the_last_of_equals_whatever_the_load() {
    let mut bench = Bench::new(PolicyConfig::VllmRouterKvAware, 3);
    bench.stores(0, TierId::HBM, "ab", 0);
    bench.stores(1, TierId::HBM, "ab", 0);
    assert!((0..20).all(|_| bench.send("ab") == 1));
    bench.stores(0, TierId::HOST, "abc", 2);
    let decision = bench.decide("abcd");
    assert_eq!((decision.worker.0, decision.overlap), (0, Some([2, 1, 0, 0])), "3 and 2");
    let mut bench = Bench::new(PolicyConfig::VllmRouterKvAware, 3);
    bench.stores(0, TierId::HOST, "abcd", 0);
    bench.stores(1, TierId::HBM, "abc", 0);
    assert_eq!(bench.send("abcd1"), 0, "a tier makes no difference");
}

/// Nothing is cached: the fewest requests, the first of equals. The blocks of a request that was sent
/// count at once.
#[test]
fn a_sent_prompt_counts_before_its_events() {
    let sent = |speculative| {
        let mut bench = Bench::new(VllmRouterKvAware { speculative }.into(), 3);
        [bench.send("ab"), bench.send("ab"), bench.send("cd"), bench.send("cd")]
    };
    assert_eq!(sent(true), [0, 0, 1, 1]);
    assert_eq!(sent(false), [0, 1, 2, 0]);
}
