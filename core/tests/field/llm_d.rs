//! `llm-d-router` ebab6879 (2026-08-22), `pkg/epp/framework/plugins`. The blocks of the approximate index
//! are those of the workers, 10 tokens, where a test does not say otherwise.

use crate::bench::{Bench, info};
use warmpath_core::event::WorkerInfo;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::{
    LlmDNoHitLru, LlmDPrecise, LlmDSticky, LlmDTokenLoad, LlmDWeighted, PolicyConfig,
};

const WEIGHTED: LlmDWeighted = LlmDWeighted { block_tokens: 10, ..LlmDWeighted::DEFAULT };
const NONE: LlmDWeighted = LlmDWeighted { queue: 0.0, kv: 0.0, prefix: 0.0, ..WEIGHTED };
const STICKY: LlmDSticky = LlmDSticky { block_tokens: 10, ..LlmDSticky::DEFAULT };

/// Two workers, of which one was sent a text and has computed it. The answer is the bench, that worker
/// and the other.
fn one_holds(rule: impl Into<PolicyConfig>, text: &str) -> (Bench, u32, u32) {
    let mut bench = Bench::new(rule.into(), 2);
    let holder = bench.send(text);
    bench.first_token(1);
    (bench, holder, 1 - holder)
}

/// The holder of four blocks has four waiting requests and 30 of 100 blocks in use, the other none:
/// 2 x 0 + 2 x .7 + 3 x 4/5 = 3.8 against 2 + 2 + 0. With all four of four blocks: 1.4 + 3 = 4.4.
#[test]
fn weights_are_two_for_queue_two_for_usage_three_for_prefix() {
    for (text, hits) in [("abcde", false), ("abcd", true)] {
        let (mut bench, holder, other) = one_holds(WEIGHTED, "abcd");
        bench.report(holder, 4, 0, 30);
        bench.report(other, 0, 0, 0);
        assert_eq!(bench.send(text), if hits { holder } else { other });
    }
}

/// Of queues of 1 and 5, the shorter counts 1, the longer 0. Three waiting between them count
/// (5 - 3) / 4 = .5. Workers with 100 of 100 blocks in use have nothing else.
#[test]
fn the_queue_is_scored_between_the_shortest_and_the_longest() {
    let worker = |kv| {
        let mut bench = Bench::new(LlmDWeighted { queue: 1.0, kv, ..NONE }.into(), 2);
        bench.report(0, 1, 0, 100);
        bench.report(1, 5, 0, 0);
        bench.send("a")
    };
    assert_eq!((worker(0.9), worker(1.1)), (0, 1), "the shortest queue counts 1");
    let worker = |kv| {
        let mut bench = Bench::new(LlmDWeighted { queue: 1.0, kv, ..NONE }.into(), 3);
        bench.report(0, 3, 0, 0);
        bench.report(1, 1, 0, 100);
        bench.report(2, 5, 0, 100);
        bench.send("a")
    };
    // w0: .5 + kv, w1: 1.
    assert_eq!((worker(0.4), worker(0.6)), (1, 0));
}

/// Metrics are read each 50 ms: what w0 reports at 60 ms is seen at 100.
#[test]
fn metrics_are_polled() {
    let mut bench = Bench::new(LlmDWeighted { queue: 1.0, ..NONE }.into(), 2);
    bench.report(0, 0, 0, 0);
    bench.report(1, 1, 0, 0);
    bench.at(0.06).report(0, 5, 0, 0);
    assert_eq!(bench.at(0.07).send("a"), 0);
    assert_eq!(bench.at(0.1).send("a"), 1);
}

/// 35 tokens are four blocks, of which three are found: 3.9 x 3/4 = 2.9 against 3 x 1.
#[test]
fn a_block_that_is_not_full_counts_to_the_prompt() {
    let rule = LlmDWeighted { kv: 3.0, prefix: 3.9, ..NONE };
    for (text, hits) in [("abc5", false), ("abc", true)] {
        let (mut bench, holder, other) = one_holds(rule, "abc");
        bench.report(holder, 0, 0, 100);
        assert_eq!(bench.send(text), if hits { holder } else { other });
    }
}

/// 40 of 80 tokens count (40/80)^2 = .25, less than .3; linear they would count more. 40 of 40 count 1.
/// At a weight of a half, .125 + .5 x 4/5 = .525.
#[test]
fn a_hit_may_count_by_its_length() {
    for (length_weight, length_scale, kv, hits) in [
        (1.0, 80, 0.3, false),
        (1.0, 80, 0.2, true),
        (1.0, 40, 0.9, true),
        (0.5, 80, 0.51, true),
        (0.5, 80, 0.54, false),
    ] {
        let rule = LlmDWeighted { prefix: 1.0, kv, length_weight, length_scale, ..NONE };
        let (mut bench, holder, other) = one_holds(rule, "abcd");
        bench.report(holder, 0, 0, 100);
        assert_eq!(bench.send("abcde"), if hits { holder } else { other });
    }
}

/// 64 waiting count (1 - 64/128) / 2 = .25, less than .3 for free blocks. 160 and 200 both count 0, so
/// .1 for free blocks decides.
#[test]
fn load_aware_counts_up_to_a_threshold() {
    for (kv, waiting, worker) in [(0.3, [64, 128], 1), (0.2, [64, 128], 0), (0.1, [160, 200], 1)] {
        let mut bench = Bench::new(LlmDWeighted { load_aware: 1.0, kv, ..NONE }.into(), 2);
        bench.report(0, waiting[0], 0, 100);
        bench.report(1, waiting[1], 0, 0);
        assert_eq!(bench.send("x"), worker, "{kv} {waiting:?}");
    }
}

/// w0 has two requests and no free block, w1 four: (4 - 2) / 4 = .5 against .6 or .4 for free blocks. Up
/// to the idle threshold a worker counts 1; a busy one counts half at a busy score of .5.
#[test]
fn active_requests_are_scored_against_the_most() {
    let worker = |kv: f64, idle: u32, busy_score: f64| {
        let rule = format!(
            "llm-d-weighted(index=exact,queue=0,prefix=9,active=1,kv={kv},idle={idle},\
             busy_score={busy_score})"
        );
        let mut bench = Bench::new(rule.parse().unwrap(), 2);
        // Three of the text's four blocks may be reused: 9 x 3/4.
        bench.stores(0, TierId::HBM, "abcd", 0);
        bench.stores(1, TierId::HBM, "lmno", 0);
        for (text, worker) in
            [("abcd", 0), ("abcd", 0), ("lmno", 1), ("lmno", 1), ("lmno", 1), ("lmno", 1)]
        {
            assert_eq!(bench.send(text), worker);
        }
        bench.report(0, 0, 0, 100);
        bench.send("xy")
    };
    assert_eq!((worker(0.6, 0, 1.0), worker(0.4, 0, 1.0)), (1, 0));
    assert_eq!((worker(0.6, 2, 1.0), worker(0.4, 0, 0.5)), (0, 1));
}

/// The holder of ten blocks has 100 tokens under way. 12 blocks: 100 + 20 against 50 + 120. New text goes
/// to the other, until the first token frees the holder's tokens.
#[test]
fn uncached_tokens_under_way_count_until_the_first_token() {
    let rule = LlmDTokenLoad { block_tokens: 10, ..LlmDTokenLoad::DEFAULT };
    let mut bench = Bench::new(rule.into(), 2);
    let holder = bench.send("abcdefghij");
    assert_eq!(bench.send("vwxyz"), 1 - holder);
    assert_eq!(bench.send("abcdefghijkl"), holder);
    assert_eq!(bench.send("mno"), 1 - holder, "120 + 30 against 50 + 30");
    bench.first_token(1);
    bench.first_token(3);
    assert_eq!(bench.send("pqr"), holder, "0 + 30 against 80 + 30");
}

/// Both over the threshold count alike.
#[test]
fn token_load_ends_at_its_threshold() {
    let rule = LlmDTokenLoad { block_tokens: 10, tokens_most: 20, ..LlmDTokenLoad::DEFAULT };
    let mut bench = Bench::new(rule.into(), 2);
    let to: Vec<u32> = (0..40).map(|_| bench.send("abcdefgh5")).collect();
    let first = to.iter().filter(|&&worker| worker == to[0]).count();
    assert!(first < 40, "without the threshold, all would follow the first");
}

/// Four blocks of five are .8: sticky, although the holder has 45 tokens under way, 45 + 10 against 50.
/// Of six they are less: 45 + 20 against 60.
#[test]
fn four_fifths_of_a_prompt_are_sticky() {
    for (text, sticks) in [("abcde", true), ("abcdef", false)] {
        let (mut bench, holder, other) = one_holds(STICKY, "abcd");
        for _ in 0..5 {
            assert_eq!(bench.send("abcd9"), holder, "nine new tokens");
        }
        assert_eq!(bench.send(text), if sticks { holder } else { other });
    }
}

/// At 1,000 tokens a second, 75 ms are 75 tokens. Each request adds nine to the holder: at 72 it sticks,
/// at 81 it goes where fewer tokens are, 81 + 9 against 59. Only tokens under way count for the gate: with
/// the new ones it would be 90 - 59.
#[test]
fn stickiness_ends_where_the_others_are_much_faster() {
    let tenth = |penalty_ms| {
        let rule = LlmDSticky { penalty_ms, throughput: 1_000.0, ..STICKY };
        let (mut bench, holder, _) = one_holds(rule, "abcde");
        for i in 0..9 {
            assert_eq!(bench.send("abcde9"), holder, "{i}");
        }
        bench.send("abcde9") == holder
    };
    assert_eq!((tenth(75.0), tenth(81.0), tenth(0.0)), (false, true, true));
}

/// Without the filter, the seventh request finds 54 + 9 tokens against 59.
#[test]
fn exploring_skips_the_filter() {
    let seventh = |explore| {
        let (mut bench, holder, _) = one_holds(LlmDSticky { explore, ..STICKY }, "abcde");
        for i in 0..6 {
            assert_eq!(bench.send("abcde9"), holder, "{i}");
        }
        bench.send("abcde9") == holder
    };
    assert_eq!((seventh(0.0), seventh(1.0)), (true, false));
}

/// Four blocks in host memory count int(3.2) = 3, like w1's three in HBM: 2 x .3 + .99 against 2 x .3 + 1.
/// Not cut they would be 2 x .32 + .99, and at weight 1 more.
#[test]
fn blocks_in_host_memory_count_four_fifths_cut_to_whole_blocks() {
    let worker = |cpu| {
        let rule = LlmDPrecise { cpu, ..LlmDPrecise::DEFAULT };
        let mut bench = Bench::new(rule.into(), 2);
        bench.stores(0, TierId::HOST, "abcd", 0);
        bench.stores(1, TierId::HBM, "abc", 0);
        bench.report(0, 0, 0, 1);
        bench.decide("abcdefghij")
    };
    let decision = worker(0.8);
    assert_eq!((decision.worker.0, decision.overlap), (1, Some([3, 0, 0, 0])));
    assert_eq!(worker(1.0).worker.0, 0);
}

/// A prompt on the way counts only where indexing is speculative.
#[test]
fn the_precise_index_waits_for_events() {
    let spread = |speculative| {
        let rule = LlmDPrecise { speculative, ..LlmDPrecise::DEFAULT };
        let mut bench = Bench::new(rule.into(), 2);
        let first = bench.send("abc");
        (0..30).filter(|_| bench.send("abc") != first).count()
    };
    assert_eq!(spread(true), 0);
    assert!(spread(false) > 5);
}

/// Cold requests go by turns; one with a hit does not count: w0 got its last cold request first.
#[test]
fn cold_requests_go_by_turns() {
    let rule = LlmDNoHitLru { block_tokens: 10, ..LlmDNoHitLru::DEFAULT };
    let mut bench = Bench::new(rule.into(), 3);
    let to: Vec<u32> = ["a", "b", "c"].iter().map(|text| bench.send(text)).collect();
    assert_eq!(to, [0, 1, 2]);
    assert_eq!(bench.send("ax"), 0, "3 x 1/2 + 2 x 1/2 against 2 x 1/2");
    let to: Vec<u32> = ["d", "e", "f", "g"].iter().map(|text| bench.send(text)).collect();
    assert_eq!(to, [0, 1, 2, 0]);
}

/// The turn counts 2 x (1 - rank / 2); free blocks count 2. w0 is first in turn, but has 60 of 100 blocks
/// in use: 2 x 1 + .8 against w1's 2 x .5 + 2.
#[test]
fn the_turn_is_one_score_of_several() {
    let rule = LlmDNoHitLru { block_tokens: 10, ..LlmDNoHitLru::DEFAULT };
    for (used, worker) in [(60, 1), (40, 0)] {
        let mut bench = Bench::new(rule.into(), 3);
        bench.report(0, 0, 0, used);
        assert_eq!(bench.send("a"), worker);
    }
}

/// Blocks of the index have at least 64 tokens, which are seven blocks of ten: six of a prompt that was
/// sent are not found.
#[test]
fn blocks_of_the_index_have_at_least_64_tokens() {
    let (mut bench, holder, _) = one_holds(LlmDTokenLoad::DEFAULT, "abcdefghi");
    let decision = bench.decide("abcdefghx");
    assert_eq!((decision.worker.0, decision.overlap), (holder, Some([7, 0, 0, 0])));
    assert_eq!(bench.decide("abcdef").overlap, Some([0; 4]));
}

/// A worker with five KV blocks is believed to hold five blocks: of six that were sent, the end of the
/// older prompt is forgotten.
#[test]
fn the_index_is_as_large_as_the_workers_cache() {
    let held = |auto_tune| {
        let rule = LlmDTokenLoad { block_tokens: 10, auto_tune, ..LlmDTokenLoad::DEFAULT };
        let worker = WorkerInfo { total_blocks: Some(5), ..info(0) };
        let mut bench = Bench::of(rule.into(), [worker]);
        bench.send("abc");
        bench.send("xyz");
        bench.decide("abc").overlap
    };
    assert_eq!((held(true), held(false)), (Some([2, 0, 0, 0]), Some([3, 0, 0, 0])));
}
