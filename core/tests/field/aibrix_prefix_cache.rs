//! `prefix-cache` of AIBrix: `pkg/plugins/gateway/algorithms/prefix_cache.go` at e3e10f9e.

use crate::bench::{Bench, info};
use warmpath_core::event::WorkerInfo;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::{AibrixPrefixCache, PolicyConfig};

fn exact(sigmas: &str) -> PolicyConfig {
    format!("aibrix-prefix-cache(index=exact,sigmas={sigmas})").parse().unwrap()
}

/// Of three workers only w0 has requests, k of them, and the prompt. Mean k / 3; deviation
/// sqrt((4/9 + 1/9 + 1/9) / 2) k = .577 k. At one deviation its limit is .91 k, so it is passed over as
/// soon as it has a request. At 1.3 it is 1.08 k. (With n below in place of n - 1: .471 k, .95 k.)
#[test]
fn a_match_is_followed_up_to_a_deviation_above_the_mean() {
    let sent = |sigmas| {
        let mut bench = Bench::new(exact(sigmas), 3);
        bench.stores(0, TierId::HBM, "abcd", 0);
        (0..10).map(|_| bench.send("abcd")).collect::<Vec<u32>>()
    };
    assert_eq!(sent("1")[0], 0);
    assert_ne!(sent("1")[1], 0, "1 is more than .91");
    // 8 and 0 are not more than eight apart; at 9 and 0 only the idlest count.
    let sent = sent("1.3");
    assert_eq!(sent[..9], [0; 9]);
    assert_ne!(sent[9], 0);
}

/// 151 and 150 of 300 blocks are both 50 per cent, so the fewest requests decide: w0 has one. Its limit
/// is .5 + .707, so it counts. 153 blocks are 51 per cent.
#[test]
fn matches_are_compared_in_whole_per_cent() {
    let text: String = ('a'..='z').cycle().take(300).collect();
    let chosen = |blocks: usize| {
        let large = |worker| WorkerInfo { total_blocks: None, ..info(worker) };
        let mut bench = Bench::of(exact("1"), (0..2).map(large));
        bench.stores(0, TierId::HBM, "z", 0);
        assert_eq!(bench.send("z"), 0);
        bench.stores(0, TierId::HBM, &text[..blocks], 0);
        bench.stores(1, TierId::HBM, &text[..150], 0);
        bench.send(&text)
    };
    assert_eq!((chosen(151), chosen(153)), (1, 0));
}

/// A block is 128 characters, 32 tokens, so four blocks of ten tokens here; it is remembered for 20
/// minutes.
#[test]
fn what_was_sent_is_remembered_in_blocks_for_a_time() {
    let rule = AibrixPrefixCache { sigmas: 2.0, ..AibrixPrefixCache::DEFAULT };
    let mut bench = Bench::new(rule.into(), 4);
    let home = bench.send("abcdefgh");
    let seen = |bench: &mut Bench, letters| {
        let decision = bench.decide(letters);
        bench.finish(bench.sent);
        (decision.worker.0 == home, decision.overlap.unwrap()[0])
    };
    assert_eq!(seen(&mut bench, "abcdefghijk"), (true, 8));
    assert_eq!(seen(&mut bench, "abcdefg"), (true, 4));
    assert_eq!(seen(&mut bench, "abcxxxxx").1, 0, "less than a block is equal");
    bench.at(1_199.0);
    assert_eq!(seen(&mut bench, "abcd"), (true, 4));
    bench.at(1_200.5);
    assert_eq!(bench.decide("abcdefgh").overlap, Some([4, 0, 0, 0]), "that one is fresh");
    bench.at(3_000.0);
    assert_eq!(bench.decide("abcdefgh").overlap, Some([0; 4]));
}
