//! Preble, `preble/global_scheduler_with_time.py`. Up to 191 tokens of a prefix cost 22.32 ms
//! / .9 = 24.8 ms there, and 200 tokens (-118 + 250 - 102.4 + .32) / .9 = 33.2 ms.

use crate::bench::Bench;
use warmpath_core::routing::policy::{PolicyConfig, Preble};

/// 200 tokens, unlike all others.
const LONG: &str = "zyxwvutsrqponmlkjihg";

/// Sends a prompt and has it answered.
fn past(bench: &mut Bench, prompt: &str) -> u32 {
    let worker = bench.send(prompt);
    bench.finish(bench.sent);
    worker
}

/// w0 has computed a prompt, w1 none. 50 tokens of 99 are known: w0, although it costs more. 50 of 100
/// are no more than half: the least cost, w1. Then both know the prefix.
#[test]
fn a_prefix_is_exploited_if_less_is_new_than_known() {
    let mut bench = Bench::new(PolicyConfig::Preble, 2);
    assert_eq!(past(&mut bench, "abcdef"), 0, "the first of equals");
    let decision = bench.decide("abcdevwxy9");
    assert_eq!((decision.worker.0, decision.overlap), (0, Some([5, 0, 0, 0])));
    bench.finish(bench.sent);
    assert_eq!(past(&mut bench, "abcdeqrstu"), 1);
    // Both cost what the prefix does, by halves; then w0 has a request under way.
    assert_eq!((bench.send("abcde1"), bench.send("abcde2")), (0, 1));
}

/// Turns of 30, 40, 50, .. tokens on w0, and 33.2 ms on w1. After three turns 70 of 120 tokens were
/// known: 50 / 120 x 3 x 24.8 = 31.0 ms. After five 180 of 250: 70 / 250 x 5 x 24.8 = 34.7 ms.
#[test]
fn the_cost_of_a_prefix_is_its_misses() {
    for (turns, expected) in [(3, 0), (5, 1)] {
        let mut bench = Bench::new(PolicyConfig::Preble, 2);
        assert_eq!(past(&mut bench, "abc"), 0);
        assert_eq!(past(&mut bench, LONG), 1);
        for turn in 1..turns {
            assert_eq!(past(&mut bench, &"abcdefg"[..3 + turn]), 0);
        }
        assert_eq!(past(&mut bench, "n"), expected, "{turns} turns");
    }
}

/// A request under way costs 45 x .15 = 6.75 s.
#[test]
fn requests_under_way_cost_their_answers() {
    for ends in [1, 2] {
        let mut bench = Bench::new(PolicyConfig::Preble, 2);
        assert_eq!((bench.send("abc"), bench.send("klm")), (0, 1));
        bench.finish(ends);
        assert_eq!(bench.send("xyz"), ends as u32 - 1);
    }
    // Without it, the shorter prefix costs less.
    let rule = Preble { output: 0.0, ..Preble::DEFAULT };
    let mut bench = Bench::new(rule.into(), 2);
    assert_eq!((bench.send(LONG), past(&mut bench, "klm")), (0, 1));
    assert_eq!(bench.send("xyz"), 1);
}

/// After three minutes a request no longer counts, and its prefix has no worker any more.
#[test]
fn a_request_counts_for_three_minutes() {
    let mut bench = Bench::new(PolicyConfig::Preble, 2);
    assert_eq!(past(&mut bench, "abc"), 0);
    assert_eq!(past(bench.at(181.0), "klm"), 1);
    assert_eq!(past(&mut bench, LONG), 0, "0 against 24.8 ms");
    assert_eq!(past(&mut bench, "abcd"), 1, "33.2 against 24.8 ms; known, but no worker has it");
    // Within the window its worker has it: 24.8 + 24.8 against 33.2.
    assert_eq!(past(bench.at(200.0), "abcde"), 1);
}

/// By its own word a worker computes 10 µs a token: 60 against 50 tokens.
#[test]
fn the_time_may_be_the_workers_own() {
    use warmpath_core::routing::policy::PrefillTime;
    let went = |prefill| {
        let mut bench = Bench::new(Preble { prefill, ..Preble::DEFAULT }.into(), 2);
        assert_eq!((past(&mut bench, "abcdef"), past(&mut bench, "klmno")), (0, 1));
        bench.send("xyz")
    };
    assert_eq!((went(PrefillTime::Worker), went(PrefillTime::A6000)), (1, 0));
}

/// 30 tokens a worker: the prompt used longest ago is forgotten when it is no longer hot.
#[test]
fn what_was_used_longest_ago_is_forgotten() {
    let rule = Preble { capacity: 30, window_s: 1.0, ..Preble::DEFAULT };
    let mut bench = Bench::new(rule.into(), 1);
    let held = |bench: &mut Bench, prompt| {
        let overlap = bench.decide(prompt).overlap;
        bench.finish(bench.sent);
        overlap.unwrap()[0]
    };
    assert_eq!(held(&mut bench, "abcd1"), 0);
    assert_eq!(held(&mut bench, "abcd1"), 4, "hot, so it may be more than the capacity");
    assert_eq!(held(bench.at(2.0), "klm1"), 0);
    assert_eq!(held(bench.at(2.5), "klm1"), 3);
    assert_eq!(held(bench.at(2.6), "abcd1"), 0);
}
