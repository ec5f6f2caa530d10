//! Which policy is the best at a rate, and which are tied with it.

use super::sample::Sample;
use super::stats::Estimate;
use serde::Serialize;
use warmpath_core::report::Figures;

/// A policy that is worse than the best by less than this counts as tied: the difference is too small
/// to matter. Step times are modelled to a few per cent, and an operator would not change the rule of
/// a fleet for less.
pub const SMALLEST_PERCENT: f64 = 1.0;

/// A figure that policies are ranked by.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// None: the run has no such figure.
    pub figure: fn(&Figures) -> Option<f64>,
    /// Whether a lower figure is better.
    pub lower: bool,
    /// Whether it is a latency: then it covers answered requests only.
    pub is_latency: bool,
}

pub const TTFT: Goal =
    Goal { figure: |figures| Some(figures.ttft_s?.mean), lower: true, is_latency: true };
pub const E2E: Goal =
    Goal { figure: |figures| Some(figures.e2e_s?.mean), lower: true, is_latency: true };
pub const GOODPUT: Goal = Goal {
    figure: |figures| Some(figures.goodput_requests_per_s),
    lower: false,
    is_latency: false,
};

/// Where a policy stands among all at one rate, by one figure.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Standing {
    /// 1 is the best mean over the seeds. None: not ranked, since too many requests have no answer.
    pub rank: Option<u32>,
    /// Label of the best policy. None: no policy is ranked.
    pub best: Option<String>,
    /// Difference to the best, seed by seed. None for the best itself.
    pub change_percent: Option<Estimate>,
    /// Whether the runs do not tell it from the best. None: one seed, or not ranked.
    pub tied_with_best: Option<bool>,
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
    let standing = |(i, (_, sample)): (usize, &(&str, Sample<'_>))| {
        let rank = costs[i].map(|own| 1 + ranked().filter(|&(_, cost)| cost < own).count() as u32);
        let compared = best.filter(|_| rank.is_some());
        let change =
            compared.and_then(|best| sample.change_percent(&policies[best].1, goal.figure));
        Standing {
            rank,
            best: best.map(|best| policies[best].0.to_owned()),
            tied_with_best: change.and_then(|change| is_tied(&change, goal.lower)),
            change_percent: change.filter(|_| best != Some(i)),
        }
    };
    policies.iter().enumerate().map(standing).collect()
}

/// Whether a difference to the best is none that the runs show, or too small to matter. None: it has
/// no interval.
fn is_tied(change: &Estimate, lower: bool) -> Option<bool> {
    let worse = if lower { change.mean } else { -change.mean };
    // The mean over seeds of a ratio may be below that of the best, so 0 need not be inside.
    change.half_width_95.map(|half| worse <= half || worse < SMALLEST_PERCENT)
}
