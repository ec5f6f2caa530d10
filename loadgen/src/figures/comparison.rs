//! Policies compared with a baseline, over seeds.

use super::policy::as_keys;
use super::run::RunReport;
use super::stats::Estimate;
use serde::Serialize;
use warmpath_core::routing::policy::NamedPolicy;

/// One policy at one rate, over all seeds.
#[derive(Debug, Serialize)]
pub struct Comparison {
    #[serde(flatten, serialize_with = "as_keys")]
    pub policy: NamedPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The label of the policy that it is compared with.
    pub baseline: String,
    pub rate_scale: f64,
    pub hit_percent: Estimate,
    pub ttft_mean_s: Estimate,
    pub ttft_p99_s: Estimate,
    pub tpot_mean_s: Estimate,
    pub e2e_mean_s: Estimate,
    pub within_slo_percent: Estimate,
    pub balance_max_over_mean: Estimate,
    /// Difference to the baseline, seed by seed. None for the baseline itself.
    pub hit_points: Option<Estimate>,
    pub ttft_change_percent: Option<Estimate>,
}

/// Compares each policy at each rate with the baseline at the same rate, seed by seed. Effects that
/// the seeds have in common cancel out.
///
/// `variant`: the variant of the scenario, if it has several.
pub fn compare_to(
    baseline: &NamedPolicy,
    policies: &[NamedPolicy],
    rates: &[f64],
    variant: Option<&str>,
    runs: &[RunReport],
) -> Vec<Comparison> {
    let of = |policy: &NamedPolicy, rate_scale| -> Vec<&RunReport> {
        let fits =
            |run: &&RunReport| run.policy.as_ref() == Some(policy) && run.rate_scale == rate_scale;
        runs.iter().filter(fits).collect()
    };
    let mut comparisons = Vec::new();
    for &rate_scale in rates {
        let base = of(baseline, rate_scale);
        for policy in policies {
            let own = of(policy, rate_scale);
            let each = |figure: &dyn Fn(&RunReport) -> f64| -> Estimate {
                Estimate::of(&own.iter().map(|run| figure(run)).collect::<Vec<_>>())
            };
            let paired = |difference: &dyn Fn(&RunReport, &RunReport) -> f64| {
                let pairs = own.iter().zip(&base).map(|(own, base)| difference(own, base));
                (policy != baseline).then(|| Estimate::of(&pairs.collect::<Vec<_>>()))
            };
            comparisons.push(Comparison {
                policy: policy.clone(),
                variant: variant.map(str::to_owned),
                baseline: baseline.label.clone(),
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
