//! vllm-router 8bef7312, `src/policies/smetric.rs`.

use crate::bench::{Bench, info};
use warmpath_core::id::TierId;
use warmpath_core::routing::policy::{Index, SMetric};

fn exact() -> SMetric {
    SMetric { index: Index::Exact, ..SMetric::DEFAULT }
}

/// A thousand tokens a second, 100 ms. w0 has 60 of 100 tokens: 40, then 80 queued are in time. With
/// 120 it is late, and w1 with 100 is not. Then w1 would be late too, with 200: the session stays.
#[test]
fn a_session_stays_while_it_is_in_time_or_nobody_is() {
    let rule = SMetric { rate: 1_000.0, slo_s: 0.1, ..exact() };
    let mut bench = Bench::new(rule.into(), 2);
    bench.stores(0, TierId::HBM, "abcdef", 0);
    let went = [(); 4].map(|()| bench.send("abcdefghij"));
    assert_eq!(went, [0, 0, 1, 0]);
    // Twice the slack, and per token what makes 200 ms.
    for longer in [SMetric { slack: 2.0, ..rule }, SMetric { slo_per_token: 0.001, ..rule }] {
        let mut bench = Bench::new(longer.into(), 2);
        bench.stores(0, TierId::HBM, "abcdef", 0);
        assert_eq!([(); 4].map(|()| bench.send("abcdefghij")), [0, 0, 0, 0]);
    }
}

/// w1 has half of the prompt, which is not more than half: both are idle and score 0, and w0 is the
/// next in turn. With a block more it is the home.
#[test]
fn a_home_has_more_than_the_hit_ratio() {
    for (held, expected) in [("abcde", 0), ("abcdef", 1)] {
        let mut bench = Bench::new(exact().into(), 2);
        bench.stores(1, TierId::HBM, held, 0);
        assert_eq!(bench.send("abcdefghij"), expected, "{held}");
    }
}

/// w0 decodes two requests, w1 has one with 10 tokens queued: 50 x 2 against (10 + 50) x 1. With one on
/// w0: 50 x 1. Where workers only compute prompts, 50 against 60 either way.
#[test]
fn work_is_multiplied_by_the_requests_under_way() {
    use warmpath_core::event::{Role, WorkerInfo};
    let busy = |workers: Vec<WorkerInfo>, on_w0| {
        let mut bench = Bench::of(exact().into(), workers);
        bench.stores(0, TierId::HBM, "x", 0);
        bench.stores(1, TierId::HBM, "kl", 0);
        for _ in 0..on_w0 {
            assert_eq!(bench.send("x1"), 0);
            bench.first_token(bench.sent);
        }
        assert_eq!(bench.send("klm"), 1);
        bench.send("abcde")
    };
    let both = || vec![info(0), info(1)];
    assert_eq!((busy(both(), 2), busy(both(), 1)), (1, 0));
    let with = |id, role| WorkerInfo { role, ..info(id) };
    let apart = vec![with(0, Role::Prefill), with(1, Role::Prefill), with(2, Role::Decode)];
    assert_eq!(busy(apart, 2), 0);
}

/// Attention: half of a prompt of 100 tokens is held. 50 tokens with 75 before each on average are
/// 50 + .1 x 50 x (100 - 25) = 425, and all of them 100 + .1 x 100 x 50 = 600.
#[test]
fn later_tokens_are_more_work() {
    let rule = SMetric { c_att: 0.1, rate: 1_000.0, hit_ratio: 0.4, ..exact() };
    // 425 are queued on w1, which makes 850: late for .8 s. w0 has 600.
    let mut bench = Bench::new(SMetric { slo_s: 0.8, ..rule }.into(), 2);
    bench.stores(1, TierId::HBM, "abcde", 0);
    assert_eq!([(); 2].map(|()| bench.send("abcdefghij")), [1, 0]);
    let mut bench = Bench::new(SMetric { slo_s: 0.86, ..rule }.into(), 2);
    bench.stores(1, TierId::HBM, "abcde", 0);
    assert_eq!([(); 2].map(|()| bench.send("abcdefghij")), [1, 1]);
}

/// Eight first tokens at 10, 20, .. 80 tokens a second. The 90th percentile is number round(7 x .9) = 6
/// from 0: 70 a second, so 10 tokens take 143 ms. Before the eighth, every worker is in time.
#[test]
fn the_rate_is_learned() {
    for (slo_s, expected) in [(0.15, 1), (0.13, 0)] {
        let mut bench = Bench::new(SMetric { slo_s, ..exact() }.into(), 2);
        bench.stores(1, TierId::HBM, "ab", 0);
        for i in 1..=8 {
            let (start, rate) = (f64::from(i) * 10.0, f64::from(i) * 10.0);
            assert_eq!(bench.at(start).send("abc"), 1);
            let id = bench.sent;
            bench.at(start + 10.0 / rate).first_token(id);
            bench.finish(id);
        }
        assert_eq!(bench.at(100.0).send("abc"), expected, "{slo_s} s");
    }
}

/// By default it believes that a worker holds what was sent to it.
#[test]
fn a_session_is_predicted_where_it_was_sent() {
    let mut bench = Bench::new(SMetric::DEFAULT.into(), 3);
    let home = bench.send("abcdef");
    bench.finish(1);
    for _ in 0..4 {
        let decision = bench.decide("abcdefgh");
        assert_eq!(decision.worker.0, home);
        bench.finish(bench.sent);
    }
}
