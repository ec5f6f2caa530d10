//! Mooncake (FAST'25), algorithm 1. A block takes 100 µs to compute.

use crate::bench::{Bench, info};
use warmpath_core::event::{FetchCost, WorkerInfo};
use warmpath_core::id::{TierId, WorkerId};
use warmpath_core::routing::decision::Pull;
use warmpath_core::routing::policy::{Mooncake, PolicyConfig};

/// A block takes `us` to fetch.
fn fetches(worker: u32, us: f64) -> WorkerInfo {
    let peers = Some(FetchCost { latency_ns: 0.0, ns_per_block: us * 1_000.0 });
    WorkerInfo { peers, ..info(worker) }
}

/// Two workers; one computes five blocks for another request, 500 µs. The answer is the bench, the busy
/// worker and the idle one.
fn one_busy(rule: Mooncake, workers: [WorkerInfo; 2]) -> (Bench, u32, u32) {
    let mut bench = Bench::of(rule.into(), workers);
    let busy = bench.send("vwxyz");
    (bench, busy, 1 - busy)
}

/// Without transfer. Four of ten blocks: 500 + 600 against 1,000. Six: 500 + 400.
#[test]
fn queue_and_prefill_are_added() {
    let bench = || one_busy(Mooncake::DEFAULT, [info(0), info(1)]);
    let (mut four, busy, idle) = bench();
    four.stores(busy, TierId::HBM, "abcd", 0);
    assert_eq!(four.send("abcdefghij"), idle);
    let (mut six, busy, _) = bench();
    six.stores(busy, TierId::HBM, "abcdef", 0);
    let decision = six.decide("abcdefghij");
    assert_eq!((decision.worker.0, decision.pull), (busy, None));
}

/// The busy worker holds six of ten blocks: 500 + 400 there, 6 x 20 + 400 with a fetch.
#[test]
fn a_prefix_comes_from_the_best_holder() {
    let (mut bench, busy, idle) = one_busy(Mooncake::DEFAULT, [fetches(0, 20.0), fetches(1, 20.0)]);
    bench.stores(busy, TierId::HBM, "abcdef", 0);
    let decision = bench.decide("abcdefghij");
    let pull = Pull { from: WorkerId(busy).into(), blocks: 6 };
    assert_eq!((decision.worker.0, decision.pull), (idle, Some(pull)));
}

/// The idle worker holds four blocks, the busy one six. At a threshold of 1: 6 > 4, so 2 x 20 + 400. At
/// 2, 6 is not over 8: its own prefix, 600. Of a worker that holds nothing, any prefix is over each
/// multiple.
#[test]
fn the_threshold_decides_whether_to_fetch() {
    let pull = |threshold, own: &str| {
        let rule = Mooncake { threshold };
        let (mut bench, busy, idle) = one_busy(rule, [fetches(0, 20.0), fetches(1, 20.0)]);
        bench.stores(busy, TierId::HBM, "abcdef", 0);
        bench.stores(idle, TierId::HBM, own, 0);
        let decision = bench.decide("abcdefghij");
        assert_eq!(decision.worker.0, idle);
        decision.pull.map(|pull| pull.blocks)
    };
    assert_eq!(pull(1.0, "abcd"), Some(6));
    assert_eq!(pull(1.49, "abcd"), Some(6));
    assert_eq!(pull(1.5, "abcd"), None);
    assert_eq!(pull(2.0, "abcd"), None);
    assert_eq!(pull(1_000.0, "xbcd"), Some(6));
}

/// Fetching takes 200 µs a block. The idle worker would compute three blocks more in 300, but by the
/// algorithm it fetches them: 3 x 200 + 400 = 1,000. The busy one has 500 + 400.
#[test]
fn over_the_threshold_a_worker_fetches_even_if_computing_is_faster() {
    let (mut bench, busy, idle) =
        one_busy(Mooncake::DEFAULT, [fetches(0, 200.0), fetches(1, 200.0)]);
    bench.stores(busy, TierId::HBM, "abcdef", 0);
    bench.stores(idle, TierId::HBM, "abc", 0);
    assert_eq!(bench.send("abcdefghij"), busy);
}

/// A transfer needs both sides.
#[test]
fn without_a_link_there_is_no_transfer() {
    for workers in [[fetches(0, 1.0), info(1)], [info(0), fetches(1, 1.0)]] {
        let (mut bench, busy, idle) = one_busy(Mooncake::DEFAULT, workers);
        bench.stores(busy, TierId::HBM, "abcd", 0);
        let decision = bench.decide("abcdefghij");
        assert_eq!((decision.worker.0, decision.pull), (idle, None), "1,100 against 1,000");
    }
    let mut cold = Bench::of(PolicyConfig::Mooncake, [fetches(0, 1.0), fetches(1, 1.0)]);
    assert_eq!(cold.decide("abc").pull, None);
}
