//! DualMap 65f237bf, `dualmap/scheduler/utils/double_hash_global_scheduler_utils.py`.

use crate::bench::Bench;
use std::collections::BTreeSet;
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::{DualMap, Index, PolicyConfig};

fn exact() -> DualMap {
    DualMap { index: Index::Exact, s_per_token: 0.001, bound_s: 0.12, ..DualMap::DEFAULT }
}

/// The two workers of a session, the one of the first ring first: with equal hits the fewer tokens under
/// way decide.
fn candidates(workers: u32, session: &str) -> [u32; 2] {
    let rule = DualMap { bound_s: 1_000.0, ..exact() };
    let mut bench = Bench::new(rule.into(), workers);
    let [one, two, three, four] = [(); 4].map(|()| bench.send(session));
    assert_eq!([one, two], [three, four], "a session has two workers");
    [one, two]
}

#[test]
fn a_session_has_two_different_workers() {
    let sessions = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st"];
    let pairs = sessions.map(|session| candidates(5, session));
    assert!(pairs.iter().all(|[one, two]| one != two));
    assert!(BTreeSet::from(pairs).len() > 5, "{pairs:?}");
    assert!(sessions.map(|session| candidates(2, session)).iter().all(|[one, two]| one != two));
    assert_eq!(candidates(1, "ab"), [0, 0]);
}

/// The second candidate has half of 100 tokens: 50 ms, then 100 ms with what is queued, within the
/// bound of 120 ms. Then 150 ms: the least is the first candidate's 100 ms. Then that one's 200 ms are
/// more than 150 ms.
#[test]
fn the_one_that_holds_more_until_it_is_too_slow_then_the_faster() {
    let session = "abcdefghij";
    let [one, two] = candidates(4, session);
    let mut bench = Bench::new(exact().into(), 4);
    bench.stores(two, TierId::HBM, "abcde", 0);
    assert_eq!([(); 4].map(|()| bench.send(session)), [two, two, one, two]);
    // A worker that is no candidate may hold all of it.
    let other = (0..4).find(|worker| ![one, two].contains(worker)).unwrap();
    let mut bench = Bench::new(exact().into(), 4);
    bench.stores(other, TierId::HBM, session, 0);
    assert_eq!(bench.send(session), one);
}

#[test]
fn the_key_is_the_start_of_the_prompt() {
    let spread = |key_tokens| {
        let rule = DualMap { key_tokens, ..exact() };
        let mut bench = Bench::new(rule.into(), 6);
        let mut seen = BTreeSet::new();
        for prompt in ["ab", "ac", "ad", "ae", "af", "ag", "ah", "ai", "aj", "ak", "al", "am"] {
            seen.insert(bench.send(prompt));
            bench.finish(bench.sent);
        }
        seen.len()
    };
    assert_eq!(spread(10), 1, "one block, equal for all");
    assert!(spread(11) > 3, "two blocks");
}

/// By default it believes that a worker holds what was sent to it, and by its own NPU's 127 µs a token
/// the bound is 19,685 tokens.
#[test]
fn a_session_stays_where_it_was_sent() {
    let mut bench = Bench::new(PolicyConfig::DualMap, 4);
    let session: String = (0..26u8).map(|i| char::from(b'a' + i)).cycle().take(90).collect();
    let went = [(); 3].map(|()| bench.send(&session));
    assert_eq!(went, [went[0]; 3]);
}
