//! Policies compared with a baseline and with the best, over seeds.

use super::goal::{E2E, GOODPUT, Goal, TTFT};
use super::policy::as_keys;
use super::run::RunReport;
use super::sample::Sample;
use super::standing::{Standing, standings};
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
    /// Requests that failed and requests that were sent, over all seeds.
    pub errors: u64,
    pub offered: u64,
    /// Whether the figures of every seed can be used.
    pub valid: bool,
    /// This and what follows is None if a seed has no such figure: without an answer there is none.
    pub hit_percent: Option<Estimate>,
    pub ttft_mean_s: Option<Estimate>,
    pub ttft_p99_s: Option<Estimate>,
    pub tpot_mean_s: Option<Estimate>,
    pub e2e_mean_s: Option<Estimate>,
    pub goodput_requests_per_s: Estimate,
    pub within_slo_percent: Estimate,
    pub answered_percent: Estimate,
    /// None for a fleet whose workers do different things, too.
    pub balance_max_over_mean: Option<Estimate>,
    /// Difference to the baseline, seed by seed. None for the baseline itself.
    pub hit_points: Option<Estimate>,
    pub ttft_change_percent: Option<Estimate>,
    pub e2e_change_percent: Option<Estimate>,
    pub goodput_change_percent: Option<Estimate>,
    /// Where it stands among all policies at this rate.
    pub by_ttft: Standing,
    pub by_e2e: Standing,
    pub by_goodput: Standing,
}

/// Compares each policy at each rate with the baseline and with the best policy at the same rate, seed
/// by seed.
///
/// `variant`: the variant of the scenario, if it has several.
pub fn compare_to(
    baseline: &NamedPolicy,
    policies: &[NamedPolicy],
    rates: &[f64],
    variant: Option<&str>,
    runs: &[RunReport],
) -> Vec<Comparison> {
    let of = |policy: &NamedPolicy, rate_scale| {
        let fits =
            |run: &&RunReport| run.policy.as_ref() == Some(policy) && run.rate_scale == rate_scale;
        Sample::new(runs.iter().filter(fits).collect())
    };
    let mut comparisons = Vec::new();
    for &rate_scale in rates {
        let base = of(baseline, rate_scale);
        let samples: Vec<(&str, Sample<'_>)> =
            policies.iter().map(|policy| (policy.label.as_str(), of(policy, rate_scale))).collect();
        let by = |goal: Goal| standings(goal, &samples);
        let standings = by(TTFT).into_iter().zip(by(E2E)).zip(by(GOODPUT));
        for ((policy, (_, own)), ((by_ttft, by_e2e), by_goodput)) in
            policies.iter().zip(&samples).zip(standings)
        {
            let other = Some(&base).filter(|_| policy != baseline);
            let change = |goal: Goal| own.change_percent(other?, goal);
            let (errors, offered) = own.failed();
            comparisons.push(Comparison {
                errors,
                offered,
                valid: own.is_valid(),
                policy: policy.clone(),
                variant: variant.map(str::to_owned),
                baseline: baseline.label.clone(),
                rate_scale,
                hit_percent: own.known(|figures| Some(figures.hit_rate? * 100.0)),
                ttft_mean_s: own.known(TTFT.figure),
                ttft_p99_s: own.known(|figures| Some(figures.ttft_s?.p99)),
                tpot_mean_s: own.known(|figures| Some(figures.tpot_s?.mean)),
                e2e_mean_s: own.known(E2E.figure),
                goodput_requests_per_s: own.mean(|figures| figures.goodput_requests_per_s),
                within_slo_percent: own.mean(|figures| figures.within_slo * 100.0),
                answered_percent: own.mean(|figures| {
                    figures.requests as f64 / figures.offered.max(1) as f64 * 100.0
                }),
                balance_max_over_mean: own.known(|figures| figures.balance_max_over_mean),
                hit_points: other.and_then(|base| {
                    own.paired(base, |own, base| Some((own.hit_rate? - base.hit_rate?) * 100.0))
                }),
                ttft_change_percent: change(TTFT),
                e2e_change_percent: change(E2E),
                goodput_change_percent: change(GOODPUT),
                by_ttft,
                by_e2e,
                by_goodput,
            });
        }
    }
    comparisons
}

#[cfg(test)]
mod tests;
