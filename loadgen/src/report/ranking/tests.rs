use super::*;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_sheet::render;

fn estimate(mean: f64) -> Estimate {
    Estimate::given(mean, 0.1, 3)
}

/// A policy at a rate, with its rank and its difference to the best by TTFT. By E2E and goodput it
/// stands alike.
fn row(policy: &str, rate_scale: f64, rank: u32, change: Option<(f64, f64)>) -> Comparison {
    let standing = Standing {
        rank: Some(rank),
        best: Some("random".to_owned()),
        change_percent: change.map(|(mean, half)| Estimate::given(mean, half, 3)),
        tied_with_best: Some(change.is_none_or(|(mean, half)| mean <= half)),
        seeds_for_5_percent: change.map(|(_, half)| half as u32 + 2),
    };
    Comparison {
        policy: policy.parse::<PolicyConfig>().expect("a policy").into(),
        variant: None,
        baseline: "random".to_owned(),
        rate_scale,
        errors: 0,
        offered: 300,
        valid: true,
        hit_percent: Some(estimate(38.25)),
        ttft_mean_s: Some(estimate(0.25)),
        ttft_p99_s: Some(estimate(1.0)),
        tpot_mean_s: Some(estimate(0.02)),
        e2e_mean_s: Some(estimate(12.5)),
        goodput_requests_per_s: estimate(3.0),
        within_slo_percent: estimate(90.0),
        answered_percent: estimate(100.0),
        balance_max_over_mean: Some(estimate(1.1)),
        hit_points: None,
        ttft_change_percent: None,
        e2e_change_percent: None,
        goodput_change_percent: None,
        by_ttft: standing.clone(),
        by_e2e: standing.clone(),
        by_goodput: standing,
    }
}

fn comparisons() -> Vec<Comparison> {
    vec![
        row("round-robin", 0.5, 3, Some((117.2, 13.1))),
        row("least-loaded", 0.5, 2, Some((0.3, 0.9))),
        row("random", 0.5, 1, None),
        row("round-robin", 2.0, 3, Some((24.0, 5.0))),
        row("least-loaded", 2.0, 1, None),
        row("random", 2.0, 2, Some((5.0, 2.5))),
    ]
}

#[test]
fn a_table_names_the_best_and_marks_what_is_tied() {
    let text = render::text(&sheet("Title", &comparisons()), 120);
    let table = "\
Title

                    mean TTFT                     mean E2E                     goodput                      hit %
policy        rank            0.5x            2x            0.5x           2x            0.5x           2x  0.5x    2x
least-loaded   1.5  tied +0.3 ±0.9  best 0.250 s  tied +0.3 ±0.9  best 12.5 s  tied +0.3 ±0.9  best 3.00/s  38.2  38.2
random         1.5    best 0.250 s     +5.0 ±2.5     best 12.5 s    +5.0 ±2.5     best 3.00/s    +5.0 ±2.5  38.2  38.2
round-robin    3.0        +117 ±13        +24 ±5        +117 ±13       +24 ±5        +117 ±13       +24 ±5  38.2  38.2
";
    assert!(text.contains(table), "{text}");
    assert!(text.contains("difference is below 1 %"), "{text}");
    assert!(text.contains("hold together for all policies of a rate (Bonferroni)"), "{text}");
    let in_one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(in_one_line.contains("in 19 of 20 comparisons: 2 at 0.5x, 4 at 2x."), "{text}");
    // In less room it is several tables, each with the policies.
    let text = render::text(&sheet("", &comparisons()), 80);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.matches("\npolicy ").count() > 1, "{text}");
}

#[test]
fn one_seed_ties_nothing_and_the_table_says_so() {
    let mut all = comparisons();
    for row in &mut all {
        row.goodput_requests_per_s.n = 1;
        for by in [&mut row.by_ttft, &mut row.by_e2e, &mut row.by_goodput] {
            by.tied_with_best = None;
            by.change_percent = by.change_percent.map(|change| Estimate::of(&[change.mean]));
        }
    }
    let text = render::text(&sheet("", &all), 120);
    assert!(!text.contains("tied +") && !text.contains('±'), "{text}");
    assert!(text.contains("One seed") && text.contains("no policy can be called tied"), "{text}");
}

#[test]
fn one_run_in_parts_has_intervals_and_the_table_says_of_what() {
    let mut all = comparisons();
    for row in &mut all {
        row.goodput_requests_per_s.n = 1;
        let parts =
            row.by_ttft.change_percent.map(|change| Estimate::of_parts(change.mean, 0.5, 20));
        row.by_ttft.change_percent = parts;
    }
    let text = render::text(&sheet("", &all), 120);
    assert!(text.contains("bootstrap") && text.contains('±'), "{text}");
}

#[test]
fn a_policy_that_refused_requests_shows_how_many() {
    let mut all = comparisons();
    all[0].answered_percent = estimate(60.0);
    (all[0].by_ttft.rank, all[0].by_ttft.change_percent) = (None, None);
    let text = render::text(&sheet("", &all), 120);
    assert!(text.contains("failed 40 %") && text.contains("so the policy is not"), "{text}");
}

#[test]
fn two_policies_need_no_ranking() {
    let two: Vec<Comparison> =
        comparisons().into_iter().filter(|row| row.policy.label != "random").collect();
    assert!(sheet("Title", &two).is_empty());
}
