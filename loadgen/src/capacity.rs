//! The highest rate at which enough requests meet the SLO, found by halving.

use crate::config::Setup;
use crate::parallel;
use crate::progress::Progress;
use crate::results::Capacity;
use crate::simulate::{Cell, simulate};
use crate::source::Prepared;
use crate::stats::Estimate;
use anyhow::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::routing::policy::PolicyConfig;

/// The share of offered requests that must meet the SLO.
pub const ENOUGH: f64 = 0.9;
const LOWEST: f64 = 1.0 / 64.0;
const HIGHEST: f64 = 256.0;
/// Halvings between a rate that meets the SLO and twice that rate: within 1 %.
const HALVINGS: u32 = 7;

/// One capacity a policy, over all seeds.
pub fn find(setup: &Setup, prepared: &Prepared<'_>, progress: &Progress) -> Result<Vec<Capacity>> {
    let seeds = || setup.seed..setup.seed + setup.seeds;
    let pairs: Vec<(PolicyConfig, u64)> =
        setup.policies.iter().flat_map(|&policy| seeds().map(move |seed| (policy, seed))).collect();
    let ended = AtomicU64::new(0);
    let bar = progress.start(pairs.len() as u64, "capacity", "searches");
    let found = parallel::map(&pairs, |&(policy, seed)| {
        let found = of_seed(setup, prepared, policy, seed);
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        found
    });
    let found = found.into_iter().collect::<Result<Vec<(f64, f64)>>>()?;
    let summary = |(&policy, of_policy): (&PolicyConfig, &[(f64, f64)])| {
        let (scales, rates): (Vec<f64>, Vec<f64>) = of_policy.iter().copied().unzip();
        Capacity {
            policy,
            within_slo: ENOUGH,
            rate_scale: Estimate::of(&scales),
            requests_per_s: Estimate::of(&rates),
        }
    };
    let per_policy = found.chunks(setup.seeds as usize);
    Ok(setup.policies.iter().zip(per_policy).map(summary).collect())
}

/// (rate scale, requests/s answered at it); zeros if even the lowest rate is too much.
fn of_seed(
    setup: &Setup,
    prepared: &Prepared<'_>,
    policy: PolicyConfig,
    seed: u64,
) -> Result<(f64, f64)> {
    let try_at = |rate_scale: f64| -> Result<Option<f64>> {
        let cell = Cell { policy, rate_scale, seed, limit: None };
        let figures = simulate(setup, prepared, cell, None, &mut |_| ())?.figures;
        Ok((figures.within_slo >= ENOUGH).then_some(figures.throughput.requests_per_s))
    };
    let mut low = (0.0, 0.0);
    let mut high = 1.0;
    // First a rate that is met and twice of it that is not.
    while let Some(rate) = try_at(high)? {
        low = (high, rate);
        if high >= HIGHEST {
            return Ok(low);
        }
        high *= 2.0;
    }
    while low.0 == 0.0 {
        let lower = high / 2.0;
        if lower < LOWEST {
            return Ok(low);
        }
        match try_at(lower)? {
            Some(rate) => low = (lower, rate),
            None => high = lower,
        }
    }
    for _ in 0..HALVINGS {
        let middle = (low.0 + high) / 2.0;
        match try_at(middle)? {
            Some(rate) => low = (middle, rate),
            None => high = middle,
        }
    }
    Ok(low)
}
