//! `cache_aware` of SGLang's router: `sgl-router/src/policies/cache_aware.rs` at 026f853b.

use crate::bench::Bench;
use warmpath_core::routing::policy::{PolicyConfig, SglangClassic};

/// Of ten blocks three match, which is not more than the threshold of .3: the smallest tree decides,
/// which is the empty one. Four match: the match decides. Of 6 + 10 and 10 blocks, the tree of 10 is the
/// smallest, also where its worker is the busier one.
#[test]
fn a_match_over_the_threshold_or_the_smallest_tree() {
    let mut bench = Bench::new(PolicyConfig::SglangClassic, 2);
    let first = bench.send("abcdefghij");
    assert_eq!(bench.send("abcvvvvvvv"), 1 - first, "3 of 10");
    let decision = bench.decide("abcdyyyyyy");
    assert_eq!((decision.worker.0, decision.overlap), (first, Some([4, 0, 0, 0])), "4 of 10");
    bench.finish(1);
    bench.finish(3);
    assert_eq!(bench.send("klmnopqrst"), 1 - first, "16 blocks and no request, 10 and one");
    let mut low = Bench::new(SglangClassic { threshold: 0.2, ..SglangClassic::DEFAULT }.into(), 2);
    let first = low.send("abcdefghij");
    assert_eq!(low.send("abcvvvvvvv"), first);
}

/// With abs=0, rel=2: one request against none is out of balance, two against one are not (2 > 2 x 1 is
/// false), three against one are.
#[test]
fn out_of_balance_by_both_thresholds_everybody_goes_to_the_shortest_queue() {
    let rule = SglangClassic { abs: 0, rel: 2.0, ..SglangClassic::DEFAULT };
    let mut bench = Bench::new(rule.into(), 2);
    let first = bench.send("abcd");
    assert_eq!(bench.send("abcd"), 1 - first, "1 and 0");
    let holder = bench.send("vwxyz");
    assert_eq!(bench.send("vwxyz"), holder, "2 and 1");
    assert_eq!(bench.send("vwxyz"), 1 - holder, "3 and 1");
    // That request is in the tree of its worker: two hold the prompt now.
    assert_eq!(bench.decide("vwxyz").overlap, Some([5, 0, 0, 0]), "3 and 2");
    // With the default of 64 the queue does not count so soon.
    let mut bench = Bench::new(PolicyConfig::SglangClassic, 2);
    let first = bench.send("abcd");
    assert!((0..64).all(|_| bench.send("abcd") == first), "65 requests");
    assert_eq!(bench.send("abcd"), 1 - first, "65 and 0: more than 64");
}

/// A tree of 160 characters is 40 tokens: four blocks. What was sent longest ago leaves, the end of a
/// prompt before its start.
#[test]
fn a_tree_is_bounded_in_characters() {
    let mut bench = Bench::new(SglangClassic { tree: 160, ..SglangClassic::DEFAULT }.into(), 1);
    bench.send("abcdef");
    assert_eq!(bench.decide("abcdef").overlap, Some([4, 0, 0, 0]));
    bench.send("vwx");
    assert_eq!(bench.decide("abcdef").overlap, Some([1, 0, 0, 0]));
}
