//! A decision takes no memory once the router has warmed up: its buffers are used again. Counted by
//! a global allocator, which is why these tests are a separate binary.

#[path = "../benches/common/mod.rs"]
mod common;

use common::Deciding;
use std::collections::VecDeque;
use warmpath_core::routing::Reliability;
use warmpath_core::routing::input::Action;
use warmpath_core::routing::policy::{PolicyConfig, WaitForRoom};

const WARM_UP: usize = 5_000;
const COUNTED: usize = 2_000;

#[test]
fn a_decision_allocates_nothing_after_warm_up() {
    let with = |what: Reliability| PolicyConfig::ALL.iter().map(move |&policy| (policy, what));
    for (policy, what) in with(Reliability::default()).chain(with(Reliability::on())) {
        let mut deciding = Deciding::with(64, policy, what);
        let (mut deciding_did, mut settling_did) = (0, 0);
        for i in 0..WARM_UP + COUNTED {
            let settled = allocation_counter::measure(|| deciding.settle());
            let request = deciding.request();
            let decided = allocation_counter::measure(|| deciding.decide(request));
            if i >= WARM_UP {
                deciding_did += decided.count_total;
                settling_did += settled.count_total;
            }
        }
        assert_eq!(
            (deciding_did, settling_did),
            (0, 0),
            "{policy}: allocations of {COUNTED} requests"
        );
    }
}

/// Eight workers with room for one request each, and four requests more that wait.
#[test]
fn holding_a_request_allocates_nothing_after_warm_up() {
    let rule = WaitForRoom { max_active: 1, ..WaitForRoom::DEFAULT };
    let mut deciding = Deciding::new(8, rule.into());
    let mut sent = VecDeque::new();
    let (mut allocated, mut held) = (0, 0);
    for i in 0..WARM_UP + COUNTED {
        let request = deciding.request();
        let arrived = allocation_counter::measure(|| deciding.decide(request));
        match deciding.actions() {
            [Action::Dispatch { id, .. }] => sent.push_back(*id),
            [Action::Hold { .. }] => held += 1,
            other => panic!("{other:?}"),
        }
        let mut finished = 0;
        if i >= 12 {
            let first = sent.pop_front().expect("eight are under way");
            finished = allocation_counter::measure(|| deciding.finish(first)).count_total;
            let [Action::Dispatch { id, .. }] = deciding.actions() else {
                panic!("{:?}", deciding.actions());
            };
            sent.push_back(*id);
        }
        if i >= WARM_UP {
            allocated += arrived.count_total + finished;
        }
    }
    assert_eq!((allocated, held), (0, WARM_UP + COUNTED - 8));
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 10])));
    assert_eq!(counted.count_total, 1);
}
