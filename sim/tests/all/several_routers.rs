//! Several routers before one fleet, each of which sees only what it sends itself and what it is told.

use warmpath_core::report::{Figures, Slo};
use warmpath_core::routing::Reliability;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::{Entry, Header, replay};
use warmpath_core::workload::sessions::{Amount, Arrivals, SessionsSpec};
use warmpath_sim::{Fault, FaultKind, Observers, Outcome, Routing, Scenario, Sharing, run};

const WORKERS: u32 = 8;

fn world(policy: PolicyConfig, routers: Routing) -> Scenario {
    let profile = crate::common::profile(16, Some(200_000));
    Scenario { routers, ..crate::common::scenario(WORKERS, policy, profile) }
}

fn play(scenario: &Scenario, requests: u64, sessions_per_s: f64, seed: u64) -> Outcome {
    let spec = SessionsSpec {
        system_tokens: 2_000,
        user_tokens: Amount { mean: 1_000.0, cv: 1.0 },
        output_tokens: Amount { mean: 150.0, cv: 1.0 },
        max_context_tokens: 20_000,
        ..crate::common::spec(requests, Arrivals::Poisson { sessions_per_s })
    };
    run(scenario, crate::common::workload(&spec, 16, seed), Observers::default())
        .expect("a world that can be made")
}

fn figures(outcome: &Outcome) -> Figures {
    outcome.recorder.figures(16, WORKERS, &Slo { ttft_s: 1.0, tpot_s: 0.1 })
}

/// The world's own checkers decide: at rest no router has a booking left, of its own or of a sibling.
#[test]
fn every_rule_may_have_siblings() {
    for &policy in PolicyConfig::ALL {
        for share in Sharing::ALL {
            let scenario = world(policy, Routing { count: 3, share, ..Routing::default() });
            let [one, again] = [(); 2].map(|()| {
                serde_json::to_string(&figures(&play(&scenario, 300, 12.0, 1))).expect("JSON")
            });
            assert_eq!(one, again, "{policy} {share:?}: the same seed, the same bytes");
        }
    }
}

/// Mean time to the first token and share of prompt tokens that were cached, over some seeds.
fn mean(policy: PolicyConfig, count: u32, share: Sharing) -> (f64, f64) {
    const SEEDS: u64 = 3;
    let each = (1..=SEEDS).map(|seed| {
        let figures = figures(&play(
            &world(policy, Routing { count, share, ..Routing::default() }),
            3_000,
            8.0,
            seed,
        ));
        (figures.ttft_s.expect("answers").mean, figures.hit_rate.expect("prompts"))
    });
    let (ttft, hit) = each.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (ttft / SEEDS as f64, hit / SEEDS as f64)
}

/// What docs/reliability.md states. The control: routers that do not tell each other what they send.
#[test]
fn routers_that_tell_what_they_send_do_as_well_as_one() {
    for (policy, without) in [
        (PolicyConfig::LeastLoaded, 1.08),
        (PolicyConfig::KvAware, 2.0),
        (PolicyConfig::Warmpath, 1.12),
    ] {
        let (one, hit) = mean(policy, 1, Sharing::Nothing);
        for count in [2, 8] {
            let (told, told_hit) = mean(policy, count, Sharing::Bookings);
            let far = (told / one - 1.0).abs();
            assert!(far < 0.05, "{policy}, {count} routers: {told} s, one router: {one} s");
            let far = (told_hit - hit).abs();
            assert!(far < 0.01, "{policy}, {count} routers: hit rate {told_hit}, one: {hit}");
        }
        let (alone, _) = mean(policy, 8, Sharing::Nothing);
        assert!(alone > without * one, "{policy}, 8 routers alone: {alone} s, one: {one} s");
    }
}

/// A rule that weighs prefill work gets most of it back from load reports.
#[test]
fn load_reports_show_most_of_the_work_of_others() {
    let of = |count, share| mean(PolicyConfig::KvAware, count, share).0;
    let one = of(1, Sharing::Nothing);
    let [alone, reports] = [Sharing::Nothing, Sharing::LoadReports].map(|share| of(8, share));
    assert!(
        reports - one < 0.35 * (alone - one),
        "{one} s, {alone} s alone, {reports} s with reports"
    );
}

/// Each router gets its share, and its record replays.
#[test]
fn the_record_of_one_router_replays() {
    for share in Sharing::ALL {
        let scenario =
            world(PolicyConfig::Warmpath, Routing { count: 4, share, ..Routing::default() });
        let header = Header::new(scenario.policy, 0).with_siblings(scenario.routers.siblings());
        let mut lines = vec![serde_json::to_string(&header).expect("JSON")];
        let mut push = |entry: &Entry| lines.push(serde_json::to_string(entry).expect("JSON"));
        let observers = Observers { record: Some(&mut push), ..Observers::default() };
        let spec = crate::common::spec(400, Arrivals::Poisson { sessions_per_s: 8.0 });
        run(&scenario, crate::common::workload(&spec, 16, 1), observers)
            .expect("a world that can be made");
        let done = replay(lines.iter()).expect("a record replays");
        assert!((80..120).contains(&done.decisions), "{} of 400 requests", done.decisions);
    }
}

/// What workers do to routers, they do to each of them: deaths lose no request of any.
#[test]
fn each_router_hears_of_a_dead_worker() {
    for share in Sharing::ALL {
        let (kind, worker) = (FaultKind::WorkerGone, Some(3));
        let faults =
            vec![Fault { at_s: 5.0, for_s: 10.0, kind, worker, factor: None, share: None }];
        let plain =
            world(PolicyConfig::Warmpath, Routing { count: 3, share, ..Routing::default() });
        let scenario = Scenario { faults, reliability: Reliability::on(), ..plain };
        let outcome = play(&scenario, 400, 8.0, 1);
        assert!(outcome.attempts.failed > 0, "a death breaks answers");
        assert_eq!(figures(&outcome).errors, 0, "{share:?}");
    }
}
