//! `cache_aware` of SMG: `model_gateway/src/policies/cache_aware.rs` at f8daa883.

use crate::bench::Bench;
use warmpath_core::event::LoadReport;
use warmpath_core::id::{MAX_TIERS, TierId, WorkerId};
use warmpath_core::routing::input::Input;
use warmpath_core::routing::policy::{PolicyConfig, SmgCacheAware};

fn exact(rule: SmgCacheAware) -> PolicyConfig {
    let text = PolicyConfig::from(rule).to_string();
    let text = match text.strip_suffix(')') {
        Some(start) => format!("{start},index=exact)"),
        None => format!("{text}(index=exact)"),
    };
    text.parse().unwrap()
}

/// With abs=1, rel=1.5, three workers. Requests under way before each decision, and their mean:
/// 1 0 0 (.33): w0 stays, 1 > 1.33 is false. 2 0 0 (.67): 2 > 1 and 2 > 1.67, so the request goes to
/// the idlest, w1, which holds the prompt from then on. 2 1 0 (1): of the two holders w1 has less, and
/// 1 > 1.5 is false. The spread of 2 would have sent it to w2 under SGLang's classic rule.
#[test]
fn the_gate_judges_the_chosen_worker_against_the_mean() {
    let rule = SmgCacheAware { abs: 1, ..SmgCacheAware::DEFAULT };
    let mut bench = Bench::new(rule.into(), 3);
    let sent: Vec<u32> = (0..4).map(|_| bench.send("abcd")).collect();
    assert_eq!(sent, [0, 0, 1, 1]);
    // Both parts must be over. 2 2 0 (1.33): 2 > 1.5 x 1.33 is false, although 2 > 1.33 + 0.
    let rule = SmgCacheAware { abs: 0, ..rule };
    let mut bench = Bench::new(rule.into(), 3);
    let sent: Vec<u32> = (0..6).map(|_| bench.send("abcd")).collect();
    assert_eq!(sent[..2], [0, 1], "1 0 0 (.33): over by both");
    let alike = bench.decide("abcd");
    assert!(alike.worker.0 < 2 && alike.overlap == Some([4, 0, 0, 0]), "{sent:?}, {alike:?}");
}

/// Without a match: the fewest requests, then the fewest ever sent, then the first.
#[test]
fn equal_loads_go_to_the_worker_that_was_sent_the_fewest() {
    let mut bench = Bench::new(PolicyConfig::SmgCacheAware, 2);
    let mut served = Vec::new();
    for letters in ["ab", "cd", "ef", "gh"] {
        served.push(bench.send(letters));
        bench.finish(bench.sent);
    }
    assert_eq!(served, [0, 1, 0, 1]);
}

/// One block of ten: the event index takes any match, the tree only one over 30 %.
#[test]
fn the_event_index_has_no_threshold() {
    let mut bench = Bench::new(exact(SmgCacheAware::DEFAULT), 2);
    bench.stores(1, TierId::HBM, "a", 0);
    assert_eq!(bench.send("abcdefghij"), 1);
    let mut bench = Bench::new(PolicyConfig::SmgCacheAware, 2);
    bench.send("a");
    bench.finish(1);
    assert_eq!(bench.send("abcdefghij"), 1, "w0 was sent one request already");
}

fn waiting(bench: &mut Bench, worker: u32, queued_prefill_tokens: u64) {
    bench.tell(&Input::Load(LoadReport {
        worker: WorkerId(worker),
        epoch: 1,
        seq: 0,
        waiting: 1,
        running: 0,
        queued_prefill_tokens,
        blocks_by_tier: [0; MAX_TIERS],
        blocks_in_use: 0,
        digest: None,
    }));
}

/// w0 holds four blocks and has 150 tokens waiting, w1 three and 50. 100 tokens more are 10 blocks, as
/// many as the request has: 4 / (1 + decay) against 3. 2 at decay 1; 3.3 at .2.
#[test]
fn waiting_prefill_makes_a_match_worth_less() {
    let chosen = |decay| {
        let mut bench = Bench::new(exact(SmgCacheAware { decay, ..SmgCacheAware::DEFAULT }), 2);
        bench.stores(0, TierId::HBM, "abcd", 0);
        bench.stores(1, TierId::HBM, "abc", 0);
        waiting(&mut bench, 0, 150);
        waiting(&mut bench, 1, 50);
        bench.at(10.0).send("abcdefghij")
    };
    assert_eq!([0.0, 0.2, 1.0].map(chosen), [0, 0, 1]);
}

/// w1 holds the prompt, and uses 90 of 100 blocks, w0 20: a spread of .7. Then the idlest, w0, gets the
/// request. The reports count from the next poll on, at 10 s.
#[test]
fn full_memory_of_a_worker_ends_affinity_for_all() {
    let chosen = |rule: SmgCacheAware, seconds| {
        let mut bench = Bench::new(exact(rule), 2);
        bench.stores(1, TierId::HBM, "abcd", 0);
        bench.at(1.0);
        bench.report(0, 0, 0, 20);
        bench.report(1, 0, 0, 90);
        bench.at(seconds).send("abcd")
    };
    let spread = |spread| SmgCacheAware { spread, ..SmgCacheAware::DEFAULT };
    let ceiling = |ceiling| SmgCacheAware { ceiling, ..SmgCacheAware::DEFAULT };
    assert_eq!(chosen(SmgCacheAware::DEFAULT, 10.0), 1);
    assert_eq!((chosen(spread(0.65), 10.0), chosen(spread(0.75), 10.0)), (0, 1));
    assert_eq!((chosen(ceiling(0.85), 10.0), chosen(ceiling(0.95), 10.0)), (0, 1));
    assert_eq!(chosen(spread(0.65), 9.0), 1, "not polled yet");
}

/// Matches of 4 and 2 blocks at temperature .5: exp(0) against exp(-2), .135, which is one in 8.4.
#[test]
fn a_temperature_spreads_over_the_matches() {
    let rule = SmgCacheAware { temperature: 0.5, ..SmgCacheAware::DEFAULT };
    let mut bench = Bench::new(exact(rule), 3);
    bench.stores(1, TierId::HBM, "abcd", 0);
    bench.stores(2, TierId::HBM, "ab", 0);
    let mut served = [0; 3];
    for _ in 0..400 {
        served[bench.send("abcd") as usize] += 1;
        bench.finish(bench.sent);
    }
    assert!(served[0] == 0 && (25..80).contains(&served[2]), "{served:?}");
}
