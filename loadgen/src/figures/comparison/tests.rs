use super::*;
use crate::figures::{Mode, Profiles, RunId};
use warmpath_core::report::{Recorder, Slo, Spread};

fn named(label: &str) -> NamedPolicy {
    label.parse::<warmpath_core::routing::policy::PolicyConfig>().expect("a policy").into()
}

/// A run whose mean TTFT, mean E2E and goodput are given. 100 requests, of which `failed` have no
/// answer.
fn run(policy: &str, seed: u64, [ttft, e2e, goodput]: [f64; 3], failed: u64) -> RunReport {
    let slo = Slo { ttft_s: 1.0, tpot_s: 1.0 };
    let mut figures = Recorder::default().figures(16, 1, &slo);
    (figures.offered, figures.requests, figures.errors) = (100, 100 - failed, failed);
    let of = |mean| Some(Spread { mean, p50: mean, p90: mean, p99: mean });
    (figures.ttft_s, figures.e2e_s) = (of(ttft), of(e2e));
    figures.goodput_requests_per_s = goodput;
    let id = RunId {
        policy: Some(named(policy)),
        variant: None,
        mode: Mode::Sim,
        workload: "by hand".to_owned(),
        seed,
        rate_scale: 1.0,
    };
    RunReport::new(id, Profiles::default(), figures, 0.0)
}

/// Compares policies, each with its figures at seeds 0, 1, ...
fn compare(policies: &[(&str, &[[f64; 3]], u64)]) -> Vec<Comparison> {
    let of = |&(policy, figures, failed): &(&str, &[[f64; 3]], u64)| -> Vec<RunReport> {
        (0..).zip(figures).map(|(seed, &figures)| run(policy, seed, figures, failed)).collect()
    };
    let runs: Vec<RunReport> = policies.iter().flat_map(of).collect();
    let names: Vec<NamedPolicy> = policies.iter().map(|(name, ..)| named(name)).collect();
    compare_to(&names[0], &names, &[1.0], None, &runs)
}

fn near(one: f64, other: f64) {
    assert!((one - other).abs() < 1e-9, "{one} against {other}");
}

/// As near as a table of Student's t.
fn close(one: f64, other: f64) {
    assert!((one / other - 1.0).abs() < 1e-3, "{one} against {other}");
}

/// `random` has the best TTFT: 1, 2, 4 s, 7 / 3 on average. `least-loaded` is 10 % above it, 5 % below
/// and 10 % above: 5 % ± 6.205 · √75 / √3 = 31.0, so the interval holds 0. `round-robin` is 20, 22 and
/// 24 % above: 22 % ± 6.205 · 2 / √3 = 7.2. With two rivals, each interval is one of 97.5 %.
#[test]
fn of_three_policies_one_is_tied_with_the_best_and_one_is_not() {
    let rows = compare(&[
        ("round-robin", &[[1.2, 8.0, 2.0], [2.44, 8.0, 2.0], [4.96, 8.0, 2.0]], 0),
        ("least-loaded", &[[1.1, 9.0, 4.0], [1.9, 9.1, 4.0], [4.4, 9.2, 4.0]], 0),
        ("random", &[[1.0, 10.0, 5.0], [2.0, 10.0, 5.0], [4.0, 10.0, 5.0]], 0),
    ]);
    let [round_robin, least_loaded, random] = rows.as_slice() else { panic!("three rows") };

    let by = &random.by_ttft;
    assert_eq!((by.rank, by.best.as_deref()), (Some(1), Some("random")));
    assert_eq!((by.change_percent, by.tied_with_best), (None, Some(true)));

    let by = &least_loaded.by_ttft;
    assert_eq!((by.rank, by.tied_with_best), (Some(2), Some(true)));
    let change = by.change_percent.expect("a difference");
    near(change.mean, 5.0);
    close(change.half_width_95.expect("an interval"), 6.205 * 75.0f64.sqrt() / 3.0f64.sqrt());

    let by = &round_robin.by_ttft;
    assert_eq!((by.rank, by.best.as_deref()), (Some(3), Some("random")));
    assert_eq!(by.tied_with_best, Some(false));
    let change = by.change_percent.expect("a difference");
    near(change.mean, 22.0);
    close(change.half_width_95.expect("an interval"), 6.205 * 2.0 / 3.0f64.sqrt());

    // By E2E the order is the other way round; of goodput more is better.
    let ranks = |of: fn(&Comparison) -> &Standing| {
        let ranks: Vec<_> = rows.iter().map(|row| of(row).rank).collect();
        ranks
    };
    assert_eq!(ranks(|row| &row.by_e2e), [Some(1), Some(2), Some(3)]);
    assert_eq!(ranks(|row| &row.by_goodput), [Some(3), Some(2), Some(1)]);
    near(least_loaded.by_goodput.change_percent.expect("a difference").mean, -20.0);
    assert_eq!(least_loaded.by_goodput.tied_with_best, Some(false));

    // Against the baseline, round-robin: E2E 9.0, 9.1 and 9.2 against 8.
    near(least_loaded.e2e_change_percent.expect("a difference").mean, 13.75);
    near(least_loaded.goodput_change_percent.expect("a difference").mean, 100.0);
    assert_eq!(round_robin.e2e_change_percent, None);
}

#[test]
fn a_difference_below_one_percent_is_a_tie_though_its_interval_is_narrow() {
    let small = |by: f64| [[1.0 * by, 1.0, 1.0], [2.0 * by, 1.0, 1.0]];
    for (factor, tied) in [(1.009, true), (1.011, false)] {
        let rows = compare(&[("random", &small(1.0), 0), ("round-robin", &small(factor), 0)]);
        assert_eq!(rows[1].by_ttft.tied_with_best, Some(tied), "{factor}");
    }
}

#[test]
fn without_an_interval_nothing_is_tied() {
    // One seed, and the same run with both seeds.
    for figures in [&[[1.0, 1.0, 1.0]][..], &[[1.0, 1.0, 1.0]; 2]] {
        let rows = compare(&[("random", figures, 0), ("round-robin", figures, 0)]);
        for row in &rows {
            assert_eq!((row.by_ttft.rank, row.by_ttft.tied_with_best), (Some(1), None));
            assert_eq!(row.ttft_mean_s.expect("answers").half_width_95, None);
        }
        assert_eq!(rows[1].by_ttft.change_percent.map(|change| change.n), Some(1));
    }
}

#[test]
fn a_policy_that_refuses_many_requests_is_not_ranked_by_latency() {
    let (fast, slow) = ([[0.1, 0.1, 1.0], [0.2, 0.1, 1.1]], [[1.0, 1.0, 2.0], [2.0, 1.0, 2.2]]);
    let rows = compare(&[("random", &fast, 2), ("round-robin", &slow, 1)]);
    assert_eq!(rows[0].by_ttft.rank, None);
    assert_eq!(rows[0].by_ttft.tied_with_best, None);
    assert_eq!(rows[1].by_ttft.rank, Some(1));
    assert_eq!(rows[0].by_ttft.best.as_deref(), Some("round-robin"));
    assert_eq!(rows[0].by_goodput.rank, Some(2), "goodput counts all requests");
    near(rows[0].answered_percent.mean, 98.0);
    assert_eq!((rows[0].errors, rows[0].offered), (4, 200));
}

#[test]
fn where_nothing_keeps_the_slo_all_are_tied() {
    let none = [[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]];
    let rows = compare(&[("random", &none, 0), ("round-robin", &none, 0)]);
    let by = &rows[1].by_goodput;
    assert_eq!((by.rank, by.tied_with_best), (Some(1), Some(true)));
}

#[test]
fn the_json_says_who_is_tied_by_which_figure() {
    let rows = compare(&[
        ("round-robin", &[[1.1, 9.0, 3.0], [2.4, 9.0, 3.1]], 0),
        ("random", &[[1.0, 9.0, 4.0], [2.0, 9.0, 4.1]], 0),
    ]);
    let json = serde_json::to_value(&rows).expect("JSON");
    let (other, best) = (&json[0], &json[1]);
    assert_eq!((&best["policy"], &best["by_ttft"]["rank"]), (&"random".into(), &1.into()));
    assert_eq!(best["by_ttft"]["best"], "random");
    assert_eq!(best["by_ttft"]["change_percent"], serde_json::Value::Null);
    assert_eq!(best["by_ttft"]["tied_with_best"], true);
    // 10 and 20 % above: 15 ± 12.706 · 5.
    assert_eq!(other["by_ttft"]["tied_with_best"], true);
    assert_eq!(other["by_ttft"]["change_percent"]["n"], 2);
    near(other["by_ttft"]["change_percent"]["mean"].as_f64().expect("a number"), 15.0);
    let half = &other["by_ttft"]["change_percent"]["half_width_95"];
    close(half.as_f64().expect("a number"), 12.706 * 5.0);
    assert_eq!(other["by_goodput"]["tied_with_best"], false);
    near(other["goodput_requests_per_s"]["mean"].as_f64().expect("a number"), 3.05);
    assert!(best["e2e_change_percent"]["half_width_95"].is_number(), "{best}");
    let single = compare(&[("random", &[[1.0, 1.0, 1.0]], 0)]);
    let json = serde_json::to_value(&single).expect("JSON");
    assert_eq!(json[0]["by_ttft"]["tied_with_best"], serde_json::Value::Null);
}
