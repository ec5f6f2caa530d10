use super::*;
use crate::figures::{LiveFigures, Profiles, RunId};
use warmpath_core::report::{Recorder, Slo, Spread};
use warmpath_core::routing::policy::PolicyConfig;

fn spread(mean: f64) -> Option<Spread> {
    Some(Spread { mean, p50: mean, p90: mean, p99: mean })
}

fn run(policy: &str, mode: Mode, ttft_s: f64, hit_rate: f64) -> RunReport {
    let slo = Slo { ttft_s: 1.0, tpot_s: 1.0 };
    let mut figures = Recorder::default().figures(16, 1, &slo);
    (figures.ttft_s, figures.hit_rate) = (spread(ttft_s), Some(hit_rate));
    let id = RunId {
        policy: Some(policy.parse::<PolicyConfig>().expect("a policy").into()),
        variant: None,
        mode,
        workload: "by hand".to_owned(),
        seed: 1,
        rate_scale: 1.0,
    };
    RunReport::new(id, Profiles::default(), figures, 0.0)
}

/// A live run at speedup 10, with wall milliseconds of lateness: client, router, workers.
fn live(
    policy: &str,
    ttft_s: f64,
    hit_rate: f64,
    [client, router, workers]: [f64; 3],
) -> RunReport {
    let figures = LiveFigures {
        send_lateness_s: spread(client * 1e-3),
        worker_lateness_s: Some(workers * 1e-3),
        pool_lateness_s: None,
        router_overhead_s: spread(router * 1e-3),
        kv_transfer: None,
        workers: 1,
        failures: Vec::new(),
        first_failures: std::collections::BTreeMap::new(),
        tier_names: Vec::new(),
        interrupted: false,
        slowest: None,
    };
    run(policy, Mode::Live, ttft_s, hit_rate).with_live(figures, 10.0, Vec::new(), None)
}

const QUIET: [f64; 3] = [0.1, 0.1, 0.1];

/// Judges a live run of kv-aware beside a simulation with a TTFT of 0.3 s and half of it cached.
fn judged(live: RunReport) -> RunReport {
    let mut runs = vec![live, run("kv-aware", Mode::SimSlice, 0.3, 0.5)];
    judge(&mut runs);
    runs.swap_remove(0)
}

fn why(run: &RunReport) -> &str {
    run.invalid_because.as_deref().unwrap_or("valid")
}

#[test]
fn a_live_run_near_its_simulation_is_valid() {
    let run = judged(live("kv-aware", 0.32, 0.51, QUIET));
    assert!(run.valid, "{}", why(&run));
    let against = run.against_sim.expect("a simulation");
    assert!((against.ttft_change_percent.expect("a TTFT") - 6.667).abs() < 0.01, "{against:?}");
    assert!((against.hit_points.expect("hits") - 1.0).abs() < 1e-9);
    assert!((against.lateness_s - 0.003).abs() < 1e-12);
}

/// The case of a loaded machine: 146 % above the simulation. The lateness is a small part of the
/// inflated TTFT of 0.738 s, and far too much for the simulated one.
#[test]
fn lateness_is_held_against_the_simulated_ttft_and_counts_every_process() {
    let run = judged(live("kv-aware", 0.738, 0.5, [0.5, 0.5, 0.6]));
    assert!(!run.valid);
    let said = why(&run);
    assert!(
        said.contains("16.0 ms late in model time (client 5.0, router 5.0, workers 6.0)"),
        "{said}"
    );
    assert!(said.contains("more than 5 % of the simulated mean TTFT of 300.0 ms"), "{said}");
    assert!(said.contains("mean TTFT is +146 % of its simulation"), "{said}");
    assert!(said.ends_with("lower --speedup, or use a quieter machine"), "{said}");
    // The client alone would be valid.
    assert!(judged(live("kv-aware", 0.3, 0.5, [0.5, 0.0, 0.0])).valid);
    assert!(!judged(live("kv-aware", 0.3, 0.5, [0.5, 0.5, 0.6])).valid);
}

#[test]
fn a_live_run_away_from_its_simulation_is_not_valid_though_nobody_was_late() {
    for (ttft, hits) in [(0.331, 0.5), (0.269, 0.5), (0.3, 0.521), (0.3, 0.479)] {
        let run = judged(live("kv-aware", ttft, hits, QUIET));
        assert!(!run.valid, "{ttft} {hits}");
        assert!(
            why(&run).contains("of its simulation") || why(&run).contains("from its simulation")
        );
        assert!(why(&run).contains("--live-requests"), "{}", why(&run));
    }
}

#[test]
fn an_order_that_live_and_simulation_disagree_about_is_marked() {
    let of = |ours: [f64; 2], theirs: [f64; 2]| {
        let mut runs = vec![
            live("kv-aware", ours[0], 0.5, QUIET),
            live("round-robin", theirs[0], 0.5, QUIET),
            run("kv-aware", Mode::SimSlice, ours[1], 0.5),
            run("round-robin", Mode::SimSlice, theirs[1], 0.5),
        ];
        judge(&mut runs);
        [why(&runs[0]).to_owned(), why(&runs[1]).to_owned()]
    };
    // Each is within 10 % of its simulation, where they are 12 % apart.
    let [one, other] = of([0.324, 0.3], [0.31, 0.336]);
    assert!(one.contains("order it and round-robin differently"), "{one}");
    assert!(other.contains("order it and kv-aware differently"), "{other}");
    // 3 % apart: the order says nothing.
    assert_eq!(of([0.31, 0.3], [0.3, 0.309]), ["valid", "valid"]);
    assert_eq!(of([0.32, 0.3], [0.4, 0.41]), ["valid", "valid"]);
}

#[test]
fn a_run_that_lost_requests_keeps_that_reason() {
    let lost = live("kv-aware", 0.9, 0.5, QUIET);
    let lost = RunReport { valid: false, invalid_because: Some("lost".to_owned()), ..lost };
    assert_eq!(why(&judged(lost)), "lost");
}
