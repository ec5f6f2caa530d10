//! The rules of production-stack: `src/vllm_router/routers/routing_logic.py` at a6c01db0, and PR#1035.

use crate::bench::{Bench, info};
use std::collections::BTreeSet;
use warmpath_core::id::{SourceId, TierId, WorkerId};
use warmpath_core::routing::input::Input;
use warmpath_core::routing::policy::{
    PolicyConfig, ProductionStackKvaware, ProductionStackLoadaware, ProductionStackPrefixaware,
};

/// 30 blocks of 10 tokens.
const LONG: &str = "abcdefghijklmnopqrstuvwxyzabcd";

/// 300 tokens, of which 100 may be missing; chunks of 100. 20 blocks are 200 tokens, which is enough;
/// 19 blocks are one chunk, 100.
#[test]
fn kvaware_takes_a_holder_that_lacks_no_more_than_the_threshold() {
    let rule = ProductionStackKvaware { threshold: 100, chunk: 100, ..Default::default() };
    let chosen = |blocks: usize| {
        let mut bench = Bench::new(rule.into(), 3);
        bench.stores(2, TierId::HBM, &LONG[..blocks], 0);
        bench.send(LONG)
    };
    assert_eq!((chosen(20), chosen(19)), (2, 0), "without a match the first that had no request");
    // By default 2,000 may be missing: one chunk of 256 tokens is enough for these 300.
    let mut bench = Bench::new(PolicyConfig::ProductionStackKvaware, 3);
    bench.stores(2, TierId::HOST, &LONG[..26], 0);
    assert_eq!(bench.send(LONG), 2);
    // And no chunk is not, since nothing is matched at all.
    let mut bench = Bench::new(PolicyConfig::ProductionStackKvaware, 3);
    bench.stores(2, TierId::HBM, &LONG[..25], 0);
    assert_eq!(bench.send(LONG), 0);
}

/// w1 holds 100 tokens and w2 all 300. The look-up names w1 first.
#[test]
fn kvaware_takes_the_first_holder_not_the_best_one() {
    let rule = ProductionStackKvaware { chunk: 100, ..Default::default() };
    let mut bench = Bench::new(rule.into(), 3);
    bench.stores(2, TierId::HBM, LONG, 0);
    bench.stores(1, TierId::HBM, &LONG[..10], 0);
    for _ in 0..9 {
        let decision = bench.decide(LONG);
        assert_eq!((decision.worker.0, decision.overlap), (1, Some([10, 0, 0, 0])));
    }
    // Where the first one lacks too much, the best one does not help either.
    let rule = ProductionStackKvaware { threshold: 100, ..rule };
    let mut bench = Bench::new(rule.into(), 3);
    bench.stores(2, TierId::HBM, LONG, 0);
    bench.stores(1, TierId::HBM, &LONG[..10], 0);
    assert_eq!(bench.send(LONG), 0);
}

/// Workers without any request come first, in order; then the fewest requests of the last 60 s, whether
/// they have ended or not.
#[test]
fn kvaware_falls_back_to_the_lowest_qps() {
    let mut bench = Bench::new(PolicyConfig::ProductionStackKvaware, 2);
    let sent: Vec<u32> = (0..4).map(|_| bench.send("ab")).collect();
    assert_eq!(sent, [0, 1, 0, 1]);
    bench.finish(2);
    bench.finish(4);
    assert_eq!(bench.at(59.0).send("ab"), 0, "2 and 2");
    assert_eq!(bench.send("ab"), 1, "3 and 2");
    assert_eq!(bench.at(61.0).send("ab"), 0, "1 and 1: those of the start are too old");
    assert_eq!(bench.at(61.0).send("ab"), 1, "2 and 1");
}

#[test]
fn kvaware_falls_back_to_the_sessions_worker() {
    let mut bench = Bench::new(PolicyConfig::ProductionStackKvaware, 4);
    let homes = |bench: &mut Bench| -> Vec<u32> {
        (0..40).map(|session| bench.decide_for(Some(session), "ab").worker.0).collect()
    };
    let before = homes(&mut bench);
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 4, "{before:?}");
    assert_eq!(homes(&mut bench), before);
    bench.tell(&Input::Lost(SourceId::Worker(WorkerId(2))));
    let after = homes(&mut bench);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == 2 && *after != 2, "{before} {after}");
    }
    let rule = ProductionStackKvaware { sessions: false, ..Default::default() };
    let mut bench = Bench::new(rule.into(), 2);
    let sent: Vec<u32> = (0..4).map(|_| bench.decide_for(Some(7), "ab").worker.0).collect();
    assert_eq!(sent, [0, 1, 0, 1]);
}

/// A chunk of 128 characters is 32 tokens, so four blocks of ten here. The first request goes anywhere,
/// those with the same chunk follow it, however many they are, also after a restart of the worker.
#[test]
fn prefixaware_follows_a_prefix_whatever_the_load() {
    let mut bench = Bench::new(PolicyConfig::ProductionStackPrefixaware, 4);
    let home = bench.send("abcdefgh");
    assert!((0..30).all(|_| bench.send("abcdxyz") == home));
    bench.tell(&Input::Joined(info(home)));
    assert!((0..30).all(|_| bench.send("abcdw") == home), "nothing leaves the trie");
    let others: BTreeSet<u32> = ('e'..='z').map(|c| bench.send(&format!("abc{c}"))).collect();
    assert_eq!(others.len(), 4, "three blocks are no chunk");
}

/// Two of the workers are sent the same prompt, one of them more of it. The longest match decides, and
/// chance between equals.
#[test]
fn prefixaware_draws_among_the_longest_matches() {
    // 800 characters: no request has such a match, so QPS decide and the trie fills up.
    let rule = ProductionStackPrefixaware { min_match: 800, ..Default::default() };
    let mut bench = Bench::new(rule.into(), 3);
    let sent: Vec<u32> = (0..4).map(|_| bench.send("abcdefgh")).collect();
    assert_eq!(sent, [0, 1, 2, 0]);
    // 320 characters are eight blocks, two chunks: enough to be followed.
    let rule = ProductionStackPrefixaware { min_match: 320, ..Default::default() };
    let mut bench = Bench::new(rule.into(), 3);
    assert_eq!([bench.send("abcdefgh"), bench.send("abcd"), bench.send("abcd")], [0, 1, 2]);
    let decision = bench.decide("abcdefghi");
    assert_eq!((decision.worker.0, decision.overlap), (0, Some([8, 0, 0, 0])));
    // One chunk, 160 characters: QPS, of which w0 has two requests, w1 one and w2 one.
    assert_eq!(bench.send("abcdz"), 1);
    let mut bench = Bench::new(PolicyConfig::ProductionStackPrefixaware, 3);
    let homes: BTreeSet<u32> = ('a'..='z').map(|c| bench.send(&c.to_string())).collect();
    assert_eq!(homes.len(), 3, "no match at all: all are equal");
}

/// w0 holds nine of ten blocks. Requests under way 1 and 0, mean .5, beta .8: .9 - .8 x .5 / 1 = .5
/// against .4 (divided by the mean itself, .1 against .8). 2 and 0, mean 1: .1 against .8. 2 and 1, mean
/// 1.5: .63 against .27. 3 and 1, mean 2: .5 against .4. 4 and 1, mean 2.5: .42 against .48.
#[test]
fn loadaware_weighs_the_cached_part_against_the_relative_load() {
    let sent = |beta| {
        let rule = ProductionStackLoadaware { beta, chunk: 10 };
        let mut bench = Bench::new(rule.into(), 2);
        bench.stores(0, TierId::HBM, "abcdefghi", 0);
        (0..6).map(|_| bench.send("abcdefghij")).collect::<Vec<u32>>()
    };
    assert_eq!(sent(0.8), [0, 0, 1, 0, 0, 1]);
    assert_eq!(sent(1.0)[..2], [0, 1], ".4 against .5");
    assert_eq!(sent(0.4), [0; 6], "twice the mean with all the load: .5 against .4");
    // Blocks short of a chunk of 256 tokens do not count: the first of equals.
    let mut bench = Bench::new(PolicyConfig::ProductionStackLoadaware, 2);
    bench.stores(1, TierId::HBM, &LONG[..25], 0);
    assert_eq!(bench.send(LONG), 0);
    let mut bench = Bench::new(PolicyConfig::ProductionStackLoadaware, 2);
    bench.stores(1, TierId::HBM, &LONG[..26], 0);
    assert_eq!(bench.send(LONG), 1);
}
