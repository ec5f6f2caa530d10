//! Which policy is the best at a rate, and which are tied with it.

use super::goal::Goal;
use super::sample::Sample;
use super::stats::Estimate;
use serde::Serialize;

/// A policy that is worse than the best by less than this counts as tied: the difference is too small
/// to matter. Step times are modelled to a few per cent, and an operator would not change the rule of
/// a fleet for less.
pub const SMALLEST_PERCENT: f64 = 1.0;

/// The difference for which the report says how many seeds it takes.
const TOLD_PERCENT: f64 = 5.0;

/// Where a policy stands among all at one rate, by one figure.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Standing {
    /// 1 is the best mean over the seeds. None: not ranked, since too many requests have no answer.
    pub rank: Option<u32>,
    /// Label of the best policy. None: no policy is ranked.
    pub best: Option<String>,
    /// Difference to the best, seed by seed; of one run, part by part. The interval is corrected for the number of
    /// policies. None for the best itself.
    pub change_percent: Option<Estimate>,
    /// Whether the runs do not tell it from the best. None: there is no interval, or it is not ranked.
    pub tied_with_best: Option<bool>,
    /// How many seeds would tell a difference of 5 % to the best in 19 of 20 comparisons.
    pub seeds_for_5_percent: Option<u32>,
}

/// The standing of each policy, given its label and its runs.
pub fn standings(goal: Goal, policies: &[(&str, Sample<'_>)]) -> Vec<Standing> {
    let cost = |sample: &Sample<'_>| {
        let mean = sample.known(goal.figure)?.mean;
        let is_ranked = !goal.is_latency || sample.has_latencies();
        is_ranked.then_some(if goal.lower { mean } else { -mean })
    };
    let costs: Vec<Option<f64>> = policies.iter().map(|(_, sample)| cost(sample)).collect();
    let ranked = || costs.iter().copied().enumerate().filter_map(|(i, cost)| Some((i, cost?)));
    // Of equal means the first policy is the best.
    let best = ranked().min_by(|one, other| one.1.total_cmp(&other.1)).map(|(i, _)| i);
    let rivals = ranked().count().saturating_sub(1);
    let standing = |(i, (_, sample)): (usize, &(&str, Sample<'_>))| {
        let rank = costs[i].map(|own| 1 + ranked().filter(|&(_, cost)| cost < own).count() as u32);
        let compared = best.filter(|_| rank.is_some());
        let change = compared.and_then(|best| sample.change_percent(&policies[best].1, goal));
        let change = change.map(|change| change.among(rivals));
        let seeds = change.filter(|_| best != Some(i));
        Standing {
            rank,
            best: best.map(|best| policies[best].0.to_owned()),
            tied_with_best: change.and_then(|change| is_tied(&change, rivals, goal.lower)),
            change_percent: change.filter(|_| best != Some(i)),
            seeds_for_5_percent: seeds.and_then(|change| change.seeds_for(TOLD_PERCENT, rivals)),
        }
    };
    policies.iter().enumerate().map(standing).collect()
}

/// Whether a difference to the best is none that the runs show, or too small to matter. None: it has
/// no interval.
fn is_tied(change: &Estimate, rivals: usize, lower: bool) -> Option<bool> {
    let worse = if lower { change.mean } else { -change.mean };
    // The mean over seeds of a ratio may be below that of the best, so 0 need not be inside. A queue that grows to the
    // end of a run has a wide interval, but it is longer all the time: two rules alike would change places.
    change.margin(rivals).map(|margin| {
        let is_told = worse > margin || change.in_every_part;
        !is_told || worse < SMALLEST_PERCENT
    })
}
