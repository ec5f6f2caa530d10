//! KubeAI 08e69e54, `internal/loadbalancer/balance_chwbl.go`.

use crate::bench::Bench;
use std::collections::BTreeSet;
use warmpath_core::id::{SourceId, WorkerId};
use warmpath_core::routing::input::Input;
use warmpath_core::routing::policy::{Chwbl, PolicyConfig};

/// Seven requests of one key on four workers. The limit is 1.25 x (n + 1) / 4 with n under way: .625
/// and .9375 for the second and the third, so no worker is ok and the key's own has them. Then 1.25,
/// 1.56 and 1.875: only a worker without requests is ok. Then 2.19: one with a single request is ok.
#[test]
fn a_key_overflows_to_the_next_worker_on_the_ring() {
    let mut bench = Bench::new(PolicyConfig::Chwbl, 4);
    let went: Vec<u32> = (0..7).map(|_| bench.send("ab")).collect();
    let [home, one, two, three] = [went[0], went[3], went[4], went[5]];
    assert_eq!(went, [home, home, home, one, two, three, one]);
    assert_eq!(BTreeSet::from([home, one, two, three]).len(), 4);
    // The home is gone: the next on the ring has its keys.
    let mut bench = Bench::new(PolicyConfig::Chwbl, 4);
    bench.tell(&Input::Lost(SourceId::Worker(WorkerId(home))));
    assert_eq!(bench.send("ab"), one);
}

/// The workers to which these prompts go, one after the other.
fn spread<'a>(bench: &mut Bench, prompts: impl IntoIterator<Item = &'a str>) -> BTreeSet<u32> {
    let mut send = |prompt| {
        let worker = bench.send(prompt);
        bench.finish(bench.sent);
        worker
    };
    prompts.into_iter().map(&mut send).collect()
}

const SESSIONS: [&str; 12] =
    ["ab", "ac", "ad", "ae", "af", "ag", "ah", "ai", "aj", "ak", "al", "am"];

#[test]
fn the_key_is_the_first_blocks() {
    let one = spread(&mut Bench::new(PolicyConfig::Chwbl, 4), SESSIONS);
    assert_eq!(one.len(), 1, "a shared first block is one key");
    let two = Chwbl { key_blocks: 2, ..Chwbl::DEFAULT };
    assert!(spread(&mut Bench::new(two.into(), 4), SESSIONS).len() > 2);
    // More blocks than the prompt has are the whole prompt; without a block there is no key.
    let many = Chwbl { key_blocks: 9, ..Chwbl::DEFAULT };
    assert!(spread(&mut Bench::new(many.into(), 4), SESSIONS).len() > 2);
    assert!(spread(&mut Bench::new(PolicyConfig::Chwbl, 4), ["5"; 30]).len() > 2);
}

/// The ring has the workers that joined before.
#[test]
fn the_rule_may_be_set_while_the_router_runs() {
    let mut bench = Bench::new(PolicyConfig::RoundRobin, 4);
    let two = Chwbl { key_blocks: 2, ..Chwbl::DEFAULT };
    bench.tell(&Input::SetPolicy(two.into()));
    assert_eq!(spread(&mut bench, SESSIONS), spread(&mut Bench::new(two.into(), 4), SESSIONS));
}
