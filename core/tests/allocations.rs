//! A decision takes no memory once the router has warmed up: its buffers are used again. Counted by
//! a global allocator, for which this binary is of its own.

#[path = "../benches/common/mod.rs"]
mod common;

use common::Deciding;
use warmpath_core::routing::policy::PolicyConfig;

const WARM_UP: usize = 5_000;
const COUNTED: usize = 2_000;

#[test]
fn a_decision_allocates_nothing_after_warm_up() {
    for &policy in PolicyConfig::ALL {
        let mut deciding = Deciding::new(64, policy);
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

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 10])));
    assert_eq!(counted.count_total, 1);
}
