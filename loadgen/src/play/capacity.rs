//! The highest rate at which enough requests meet the SLO, found by bisection.

use super::kv_room;
use super::options::{Cell, RunOptions};
use super::parallel;
use super::progress::Progress;
use super::simulate::simulate;
use crate::figures::{AtRoom, Capacity, ENOUGH, Estimate, Found, RunReport};
use crate::setup::{Prepared, Setup};
use anyhow::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::routing::policy::NamedPolicy;

/// A workload is played at most this many times as long as its file says.
const LONGEST: f64 = 32.0;
const LOWEST: f64 = 1.0 / 64.0;
const HIGHEST: f64 = 256.0;
/// A rate counts as sustained if the time with arrivals is at least this many times the time after
/// the last arrival.
const SETTLED: f64 = 4.0;
/// The result is within 1 %.
const WITHIN: f64 = 1.0 / 128.0;

/// One capacity per policy, over all seeds.
pub fn find(
    setup: &Setup,
    prepared: &Prepared<'_>,
    options: &RunOptions,
    progress: &Progress,
) -> Result<Vec<Capacity>> {
    let options = RunOptions { rows: false, sketch: false, bounds: false, ..options.clone() };
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
    let found = found.into_iter().collect::<Result<Vec<(Found, Vec<AtRoom>)>>>()?;
    let per_policy = found.chunks(setup.seeds as usize);
    Ok(setup
        .policies
        .iter()
        .zip(per_policy)
        .map(|(policy, of)| summary(&options, policy, of))
        .collect())
}

fn summary(options: &RunOptions, policy: &NamedPolicy, found: &[(Found, Vec<AtRoom>)]) -> Capacity {
    let kv_room = found[0].1.clone();
    let found: Vec<Found> = found.iter().map(|&(found, _)| found).collect();
    let rates: Option<Vec<(f64, f64)>> = found
        .iter()
        .map(|found| match *found {
            Found::At { rate_scale, offered_requests_per_s, .. } => {
                Some((rate_scale, offered_requests_per_s))
            }
            Found::AtLeast { .. } | Found::Nowhere { .. } => None,
        })
        .collect();
    // An interval over seeds needs a capacity of each seed.
    let (rate_scale, offered_requests_per_s) = match rates {
        Some(rates) => {
            let (scales, rates): (Vec<f64>, Vec<f64>) = rates.into_iter().unzip();
            (Some(Estimate::of(&scales)), Some(Estimate::of(&rates)))
        }
        None => (None, None),
    };
    let (policy, variant) = (policy.clone(), options.variant.clone());
    let within_slo = ENOUGH;
    Capacity { policy, variant, within_slo, rate_scale, offered_requests_per_s, found, kv_room }
}

fn of_seed(
    setup: &Setup,
    prepared: &Prepared<'_>,
    options: &RunOptions,
    policy: &NamedPolicy,
    seed: u64,
) -> Result<(Found, Vec<AtRoom>)> {
    let bounds = Bounds { start: 1.0, step: 2.0, least: LOWEST, most: HIGHEST, within: WITHIN };
    let run_at = |setup: &Setup, rate_scale: f64| {
        let cell = Cell { policy, rate_scale, seed, limit: None, options };
        // At a multiple of the rate the workload lasts as long as at its own rate.
        let prepared = prepared.stretched(rate_scale.min(LONGEST));
        simulate(setup, &prepared, cell, None, &mut |_| ())
    };
    let (found, run) = search(bounds, |load, _| run_at(setup, load).map(Some))?;
    let rooms = match (found, run) {
        (Found::At { rate_scale, .. }, Some(run)) if seed == setup.seed => {
            kv_room::around(setup, &run, |other| run_at(other, rate_scale))?
        }
        _ => Vec::new(),
    };
    Ok((found, rooms))
}

/// Whether enough requests meet the SLO, in total and in each class of the workload.
fn keeps_slo(run: &RunReport) -> bool {
    let classes = run.classes.iter().map(|class| class.within_slo.unwrap_or(0.0));
    classes.chain([run.figures.within_slo]).all(|within| within >= ENOUGH)
}

/// The range of a search, in multiples of the workload's own load.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub start: f64,
    /// The factor of the first step away from the start. Each further step has the square of the last one's factor, up to 2.
    pub step: f64,
    pub least: f64,
    pub most: f64,
    /// The largest share by which a load above the found one may still meet the SLO.
    pub within: f64,
}

impl Bounds {
    /// The same from a load that is thought to be near the result.
    #[must_use]
    pub fn near(self, load: f64) -> Self {
        let step = 1.0 + self.within;
        Self { start: load.clamp(self.least, self.most), step, ..self }
    }
}

/// Factors of the steps of a search.
fn steps(bounds: Bounds) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(bounds.step), |step| Some((step * step).min(2.0)))
}

/// Finds the highest load at which enough requests meet the SLO, and the run at it. `run_at` gets the
/// load, and whether the run must be played to its end. If not, it may return None for a run that
/// misses the SLO.
pub fn search(
    bounds: Bounds,
    mut run_at: impl FnMut(f64, bool) -> Result<Option<RunReport>>,
) -> Result<(Found, Option<RunReport>)> {
    let mut low: Option<(f64, RunReport)> = None;
    let mut high = bounds.start;
    // First a rate that meets the SLO, and a higher one that does not.
    let mut up = steps(bounds);
    while let Some(run) = run_at(high, false)?.filter(keeps_slo) {
        if high >= bounds.most {
            return Ok((Found::AtLeast { rate_scale: high }, Some(run)));
        }
        low = Some((high, run));
        high = (high * up.next().unwrap_or(2.0)).min(bounds.most);
    }
    let mut down = steps(bounds);
    while low.is_none() {
        let lower = (high / down.next().unwrap_or(2.0)).max(bounds.least);
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
    // A little more than what is asked for, so that rounding makes no halving more.
    while high - rate_scale > bounds.within * rate_scale * (1.0 + 1e-9) {
        let middle = (rate_scale + high) / 2.0;
        match run_at(middle, false)?.filter(keeps_slo) {
            Some(at_middle) => (rate_scale, run) = (middle, at_middle),
            None => high = middle,
        }
    }
    // While the fleet fills up or drains, it does not work at the offered rate.
    let figures = &run.figures;
    let answering_s = figures.e2e_s.map_or(0.0, |e2e| e2e.mean);
    let short =
        figures.arrivals_s < SETTLED * answering_s.max(figures.duration_s - figures.arrivals_s);
    let offered_requests_per_s = figures.offered_requests_per_s;
    Ok((Found::At { rate_scale, offered_requests_per_s, short }, Some(run)))
}
