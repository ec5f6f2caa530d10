//! A prefix that most requests begin with must not draw all of them to the worker that has it.

use crate::common::{profile, scenario, spec, workload};
use warmpath_core::report::{Figures, Slo};
use warmpath_core::routing::policy::{PolicyConfig, Warmpath};
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_core::workload::spec::{Amount, SessionsSpec};
use warmpath_sim::{Observers, run};

const WORKERS: u32 = 8;

/// Single requests. `prefix`: tokens that they all begin with.
fn play(policy: PolicyConfig, prefix: u32) -> Figures {
    let spec = SessionsSpec {
        system_prompts: 1,
        system_tokens: prefix,
        turns: Amount { mean: 1.0, cv: 0.0 },
        // Four of five tokens are the prefix.
        user_tokens: Amount { mean: 2_000.0, cv: 0.5 },
        max_context_tokens: 20_000,
        ..spec(3_000, Arrivals::Poisson { sessions_per_s: 30.0 })
    };
    let scenario = scenario(WORKERS, policy, profile(16, Some(200_000)));
    let outcome =
        run(&scenario, workload(&spec, 16, 5), Observers::default()).expect("a world that can be");
    outcome.recorder.figures(16, WORKERS, &Slo { ttft_s: 2.0, tpot_s: 0.1 })
}

#[test]
fn a_hot_prefix_is_spread_over_the_fleet() {
    // Without a prefix there is nothing to be drawn to.
    let uniform = play(PolicyConfig::KvAware, 0);
    let p99 = |figures: &Figures| figures.ttft_s.as_ref().expect("answers").p99;
    for policy in [PolicyConfig::KvAware, Warmpath::DEFAULT.into()] {
        let hot = play(policy, 8_000);
        let balance = hot.balance_max_over_mean.expect("work");
        let hit = hot.hit_rate.expect("prompts");
        println!("{policy}: max / mean {balance:.2}, hit {hit:.3}, p99 {:.3} s", p99(&hot));
        assert!(hit > 0.75, "{policy}: {hit}");
        assert!(balance <= 1.5, "{policy}: {balance}");
        assert!(p99(&hot) <= 2.0 * p99(&uniform), "{policy}: {} of {}", p99(&hot), p99(&uniform));
    }
    // The control: a rule that sends a prefix to one worker.
    let pinned: PolicyConfig = "production-stack-kvaware".parse().expect("a rule");
    let balance = play(pinned, 8_000).balance_max_over_mean.expect("work");
    assert!(balance > 3.0, "{balance}");
}
