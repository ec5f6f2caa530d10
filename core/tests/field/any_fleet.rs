//! No rule panics on any fleet: prompts without a block, workers that go and come back, one worker,
//! requests that are cancelled, hours without a request.

use crate::bench::{Bench, info, prompt};
use warmpath_core::id::{RequestId, SessionId, SourceId, TenantId, TierId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::rng::Rng;
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::PolicyConfig;

const PROMPTS: [&str; 10] =
    ["", "5", "a", "ab3", "abcdefgh", "abcdvvvv", "abcdefghij", "abcdefghijkl2", "xyz", "zzzzzzz9"];

fn run(policy: PolicyConfig, seed: u64) {
    let mut rng = Rng::named(seed, &[9]);
    let mut bench = Bench::new(policy, 3);
    let mut seconds = 0.0;
    for id in 1..=400 {
        seconds += [0.0, 0.01, 1.0, 30.0, 400.0][rng.below(5) as usize];
        let worker = rng.below(3) as u32;
        match rng.below(12) {
            0 => drop(bench.tell(&Input::Lost(SourceId::Worker(WorkerId(worker))))),
            1 | 2 => drop(bench.tell(&Input::Joined(info(worker)))),
            3 => bench.report(worker, rng.below(9) as u32, 1, rng.below(150)),
            4 => bench.stores(worker, TierId::HBM, PROMPTS[4 + rng.below(5) as usize], 0),
            5 => drop(bench.tell(&Input::Cancelled(RequestId(id - 1)))),
            6 => bench.finish(id.saturating_sub(1 + rng.below(9))),
            7 => bench.first_token(id.saturating_sub(1 + rng.below(9))),
            _ => {}
        }
        let request = Request {
            id: RequestId(id),
            session: (id % 2 == 0).then_some(SessionId(id % 7)),
            tenant: TenantId(0),
            prompt: prompt(PROMPTS[rng.below(10) as usize]),
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        };
        let actions = bench.at(seconds).tell(&Input::Arrived(request));
        assert!(actions.iter().all(|action| !matches!(action, Action::Dispatch { decision, .. }
            if decision.worker.0 > 2)));
    }
}

#[test]
fn no_rule_panics() {
    for &policy in PolicyConfig::ALL {
        let with = |text: &str| format!("{}({text})", policy.name()).parse::<PolicyConfig>();
        let variants = [Ok(policy), with("index=exact"), with("decay=1"), with("temperature=1")];
        for variant in variants.into_iter().flatten() {
            (0..5).for_each(|seed| run(variant, seed));
        }
    }
}
