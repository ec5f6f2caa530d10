//! `prefix-cache-preble` of AIBrix: `pkg/plugins/gateway/algorithms/prefix_cache_preble.go` at e3e10f9e.
//!
//! Prompts here are short, so each takes a V100 (55 + .8) / .9 = 62 ms, and its answer 45 x .15 =
//! 6.75 s.

use crate::bench::Bench;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::{AibrixPreble, PolicyConfig};

/// Costs before each request, of w0 and w1: none; 6.81 and none; 6.81 both, the first of equals. The
/// same prompt again follows the match. An answer counts once a node, so w0, with four requests in two
/// nodes, has 2 x 6.75 + 4 x .062 = 13.75. w1 has 6.81, then 13.62, then 20.44.
#[test]
fn without_a_match_the_least_recent_work_wins() {
    let mut bench = Bench::new(PolicyConfig::AibrixPreble, 2);
    let sent = ["abcdefgh", "vwxyz", "klmno"].map(|letters| bench.send(letters));
    assert_eq!(sent, [0, 1, 0]);
    assert_eq!([bench.send("klmno"), bench.send("klmno")], [0, 0]);
    assert_eq!([bench.send("pqrst"), bench.send("stuvw")], [1, 1]);
    bench.at(179.0);
    assert_eq!(bench.send("zzzzz"), 0, "13.75 and 20.44");
    bench.at(180.5);
    assert_eq!(bench.send("yyyyy"), 1, "three minutes: only the last prompt, of w0, counts");
}

/// Without answers: w0 has .062 of its first prompt. The turns after it bring 20 tokens each, of which
/// .2 and .167 are new: .0124 and .0103. So w1 gets two other prompts, and w0 (.0847) the third. Whole
/// turns would be .186.
#[test]
fn only_the_new_part_of_a_prompt_is_work() {
    let rule = AibrixPreble { out: 0, ..AibrixPreble::DEFAULT };
    let mut bench = Bench::new(rule.into(), 2);
    let turns = ["abcdefgh", "abcdefghij", "abcdefghijkl"].map(|letters| bench.send(letters));
    assert_eq!(turns, [0, 0, 0]);
    let others = ["vwxyz", "klmno", "pqrst"].map(|letters| bench.send(letters));
    assert_eq!(others, [1, 1, 0]);
}

/// Four of eight blocks are not over half: w1 is free. Then both have the first four, and four of five
/// are followed: to w1, which has one request of the window, not two. Its own match is longer then.
#[test]
fn a_match_over_half_goes_to_the_holder_with_the_fewest_recent_requests() {
    let mut bench = Bench::new(PolicyConfig::AibrixPreble, 3);
    assert_eq!([bench.send("abcdefgh"), bench.send("abcdvvvv"), bench.send("abcdefgh")], [0, 1, 0]);
    let decision = bench.decide("abcdz");
    assert_eq!((decision.worker.0, decision.overlap), (1, Some([4, 0, 0, 0])));
    assert_eq!(bench.decide("abcdefghij").overlap, Some([8, 0, 0, 0]));
    // Five minutes after the last prompt through it, the tree has nothing; w0 is first again.
    bench.at(299.0);
    assert_eq!(bench.decide("abcdefgh").overlap, Some([8, 0, 0, 0]));
    bench.at(600.0);
    let decision = bench.decide("abcdefgh");
    assert_eq!((decision.worker.0, decision.overlap), (0, Some([0; 4])));
}

/// Two requests on w0 and none on w1 are more than one apart, so only w1 counts.
#[test]
fn while_imbalanced_only_the_idlest_count() {
    let rule = AibrixPreble { imbalance: 1, ..AibrixPreble::DEFAULT };
    let mut bench = Bench::new(rule.into(), 2);
    let sent: Vec<u32> = (0..3).map(|_| bench.send("abcdefgh")).collect();
    assert_eq!(sent, [0, 0, 1]);
    let exact: PolicyConfig = "aibrix-preble(index=exact)".parse().unwrap();
    let mut bench = Bench::new(exact, 2);
    bench.stores(1, TierId::HBM, "abcde", 0);
    assert_eq!((bench.send("abcdefgh"), bench.send("vwxyz")), (1, 0));
}
