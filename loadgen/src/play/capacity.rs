//! The highest rate at which enough requests meet the SLO, found by halving.

use super::options::{Cell, RunOptions};
use super::parallel;
use super::progress::Progress;
use super::simulate::simulate;
use crate::figures::{Capacity, ENOUGH, Estimate, Found, RunReport};
use crate::setup::{Prepared, Setup};
use anyhow::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::routing::policy::NamedPolicy;

/// How many times longer than its file says a workload is played at most.
const LONGEST: f64 = 32.0;
const LOWEST: f64 = 1.0 / 64.0;
const HIGHEST: f64 = 256.0;
/// Arrivals must go on for so many times what comes after them, or the rate is not sustained.
const SETTLED: f64 = 4.0;
/// Halvings between a rate that meets the SLO and twice that rate: within 1 %.
const HALVINGS: u32 = 7;

/// One capacity a policy, over all seeds.
pub fn find(
    setup: &Setup,
    prepared: &Prepared<'_>,
    options: &RunOptions,
    progress: &Progress,
) -> Result<Vec<Capacity>> {
    let options = RunOptions { rows: false, ..options.clone() };
    let seeds = || setup.seed..setup.seed + setup.seeds;
    let pairs: Vec<(&NamedPolicy, u64)> =
        setup.policies.iter().flat_map(|policy| seeds().map(move |seed| (policy, seed))).collect();
    let ended = AtomicU64::new(0);
    let bar = progress.start(pairs.len() as u64, "capacity", "searches");
    let found = parallel::map(&pairs, |&(policy, seed)| {
        let found = of_seed(setup, prepared, &options, policy, seed);
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        found
    });
    let found = found.into_iter().collect::<Result<Vec<Found>>>()?;
    let per_policy = found.chunks(setup.seeds as usize);
    Ok(setup
        .policies
        .iter()
        .zip(per_policy)
        .map(|(policy, of)| summary(&options, policy, of))
        .collect())
}

fn summary(options: &RunOptions, policy: &NamedPolicy, found: &[Found]) -> Capacity {
    let rates: Option<Vec<(f64, f64)>> = found
        .iter()
        .map(|found| match *found {
            Found::At { rate_scale, offered_requests_per_s, .. } => {
                Some((rate_scale, offered_requests_per_s))
            }
            Found::AtLeast { .. } | Found::Nowhere { .. } => None,
        })
        .collect();
    // An interval over seeds means something only where every seed has a capacity.
    let (rate_scale, offered_requests_per_s) = match rates {
        Some(rates) => {
            let (scales, rates): (Vec<f64>, Vec<f64>) = rates.into_iter().unzip();
            (Some(Estimate::of(&scales)), Some(Estimate::of(&rates)))
        }
        None => (None, None),
    };
    let (found, variant) = (found.to_vec(), options.variant.clone());
    let policy = policy.clone();
    Capacity { policy, variant, within_slo: ENOUGH, rate_scale, offered_requests_per_s, found }
}

fn of_seed(
    setup: &Setup,
    prepared: &Prepared<'_>,
    options: &RunOptions,
    policy: &NamedPolicy,
    seed: u64,
) -> Result<Found> {
    let bounds = Bounds { start: 1.0, least: LOWEST, most: HIGHEST, halvings: HALVINGS };
    let run_at = |rate_scale: f64| {
        let cell = Cell { policy, rate_scale, seed, limit: None, options };
        // At a multiple of the rate the workload goes on as long as at its own.
        let prepared = prepared.stretched(rate_scale.min(LONGEST));
        Ok(Some(simulate(setup, &prepared, cell, None, &mut |_| ())?))
    };
    Ok(search(bounds, |load, _| run_at(load))?.0)
}

/// The most by which a load above the one that was found may still be met, as a share of it.
pub fn step(bounds: Bounds) -> f64 {
    1.0 / f64::from(1 << bounds.halvings)
}

/// Whether enough requests meet the SLO, of each class of the workload.
fn keeps_slo(run: &RunReport) -> bool {
    let classes = run.classes.iter().map(|class| class.within_slo);
    classes.chain([run.figures.within_slo]).all(|within| within >= ENOUGH)
}

/// Where a search looks, in multiples of the workload's own load.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub start: f64,
    pub least: f64,
    pub most: f64,
    /// Between a load that meets the SLO and twice that load.
    pub halvings: u32,
}

/// The highest load at which enough requests meet the SLO, and the run at it. `run_at` may give up a run
/// in which too few do, unless it is told that the run is wanted to its end.
pub fn search(
    bounds: Bounds,
    mut run_at: impl FnMut(f64, bool) -> Result<Option<RunReport>>,
) -> Result<(Found, Option<RunReport>)> {
    let mut low: Option<(f64, RunReport)> = None;
    let mut high = bounds.start;
    // First a rate that is met and twice of it that is not.
    while let Some(run) = run_at(high, false)?.filter(keeps_slo) {
        if high >= bounds.most {
            return Ok((Found::AtLeast { rate_scale: high }, Some(run)));
        }
        low = Some((high, run));
        high = (high * 2.0).min(bounds.most);
    }
    while low.is_none() {
        let lower = high / 2.0;
        let last = lower <= bounds.least;
        match run_at(lower, last)? {
            Some(run) if keeps_slo(&run) => low = Some((lower, run)),
            Some(run) if last => {
                let within_slo = run.figures.within_slo;
                return Ok((Found::Nowhere { rate_scale: lower, within_slo }, None));
            }
            _ => high = lower,
        }
    }
    let Some((mut rate_scale, mut run)) = low else { unreachable!("the loop ends with one") };
    for _ in 0..bounds.halvings {
        let middle = (rate_scale + high) / 2.0;
        match run_at(middle, false)?.filter(keeps_slo) {
            Some(at_middle) => (rate_scale, run) = (middle, at_middle),
            None => high = middle,
        }
    }
    // A fleet that is still filling up, or is left to drain, is not at the rate that it is offered.
    let figures = &run.figures;
    let short = figures.arrivals_s
        < SETTLED * figures.e2e_s.mean.max(figures.duration_s - figures.arrivals_s);
    let offered_requests_per_s = figures.offered_requests_per_s;
    Ok((Found::At { rate_scale, offered_requests_per_s, short }, Some(run)))
}
