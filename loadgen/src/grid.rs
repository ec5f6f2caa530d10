//! Many worlds at once: every policy at every rate with every seed, on all cores.

use crate::config::Setup;
use crate::parallel;
use crate::progress::Progress;
use crate::results::{Comparison, RunReport};
use crate::simulate::{Cell, simulate};
use crate::source::Prepared;
use crate::stats::Estimate;
use anyhow::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::routing::policy::PolicyConfig;

/// In the order rate, policy, seed.
pub fn cells(setup: &Setup) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &rate_scale in &setup.rates {
        for &policy in &setup.policies {
            let seeds = setup.seed..setup.seed + setup.seeds;
            cells.extend(seeds.map(|seed| Cell {
                policy,
                rate_scale,
                seed,
                limit: None,
                rows: setup.rows,
            }));
        }
    }
    cells
}

/// Plays all cells and gives their reports in the same order.
pub fn play(
    setup: &Setup,
    prepared: &Prepared<'_>,
    cells: &[Cell],
    progress: &Progress,
) -> Result<Vec<RunReport>> {
    let ended = AtomicU64::new(0);
    let bar = progress.start(cells.len() as u64, "sim", "runs");
    let reports = parallel::map(cells, |&cell| {
        let report = simulate(setup, prepared, cell, None, &mut |_| ());
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        report
    });
    reports.into_iter().collect()
}

/// Each policy at each rate against the baseline at the same rate, seed by seed: what the seeds
/// share cancels out.
pub fn compare_to(baseline: PolicyConfig, setup: &Setup, runs: &[RunReport]) -> Vec<Comparison> {
    let of = |policy, rate_scale| -> Vec<&RunReport> {
        let fits = |run: &&RunReport| run.policy == Some(policy) && run.rate_scale == rate_scale;
        runs.iter().filter(fits).collect()
    };
    let mut comparisons = Vec::new();
    for &rate_scale in &setup.rates {
        let base = of(baseline, rate_scale);
        for &policy in &setup.policies {
            let own = of(policy, rate_scale);
            let each = |figure: &dyn Fn(&RunReport) -> f64| -> Estimate {
                Estimate::of(&own.iter().map(|run| figure(run)).collect::<Vec<_>>())
            };
            let paired = |difference: &dyn Fn(&RunReport, &RunReport) -> f64| {
                let pairs = own.iter().zip(&base).map(|(own, base)| difference(own, base));
                (policy != baseline).then(|| Estimate::of(&pairs.collect::<Vec<_>>()))
            };
            comparisons.push(Comparison {
                policy,
                baseline,
                rate_scale,
                hit_percent: each(&|run| run.figures.hit_rate * 100.0),
                ttft_mean_s: each(&|run| run.figures.ttft_s.mean),
                ttft_p99_s: each(&|run| run.figures.ttft_s.p99),
                tpot_mean_s: each(&|run| run.figures.tpot_s.mean),
                e2e_mean_s: each(&|run| run.figures.e2e_s.mean),
                within_slo_percent: each(&|run| run.figures.within_slo * 100.0),
                balance_max_over_mean: each(&|run| {
                    run.figures.balance_max_over_mean.unwrap_or_default()
                }),
                hit_points: paired(&|own, base| {
                    (own.figures.hit_rate - base.figures.hit_rate) * 100.0
                }),
                ttft_change_percent: paired(&|own, base| {
                    (own.figures.ttft_s.mean / base.figures.ttft_s.mean - 1.0) * 100.0
                }),
            });
        }
    }
    comparisons
}
