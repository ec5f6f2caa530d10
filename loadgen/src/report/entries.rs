//! The runs of a command as a reader compares them: one entry for each rule and rate, over its seeds.

use super::over_seeds::{Alike, known_mean, over_seeds};
use crate::figures::{Comparison, Mode, Results, RunReport, Sketch, compare_to, covers, label};
use warmpath_core::report::Figures;
use warmpath_core::routing::policy::NamedPolicy;

/// Plots show at most this many rules: more lines are not told apart.
const MOST_RULES: usize = 8;

/// A rule at one rate.
#[derive(Debug)]
pub struct Entry<'a> {
    pub label: String,
    pub rate: f64,
    /// One run for each seed; never empty.
    pub runs: Alike<'a>,
    /// How it compares with the others, if there are several seeds or rates.
    pub compared: Option<&'a Comparison>,
}

impl Entry<'_> {
    pub fn mean(&self, of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        known_mean(&self.runs, |run| of(&run.figures))
    }

    /// The mean time to first token. None: too many requests have no answer.
    pub fn ttft(&self) -> Option<f64> {
        let all_covered = self.runs.iter().all(|run| covers(&run.figures));
        self.mean(|figures| Some(figures.ttft_s?.mean)).filter(|_| all_covered)
    }

    pub fn sketch(&self) -> Option<&Sketch> {
        self.runs[0].sketch.as_ref()
    }

    pub fn is_of(&self, policy: Option<&NamedPolicy>) -> bool {
        policy.is_some() && self.runs[0].policy.as_ref() == policy
    }
}

/// The mode that ran the most: whole simulated runs, if there are any.
pub fn main_mode(results: &Results) -> Mode {
    let has = |mode: Mode| results.runs.iter().any(|run| run.mode == mode);
    if has(Mode::Sim) || !has(Mode::Live) { Mode::Sim } else { Mode::Live }
}

/// How the policies compare at one rate with one seed, of which a grid has no table. Empty for a grid, for one
/// policy and for several variants.
pub fn compared(results: &Results, baseline: Option<&NamedPolicy>) -> Vec<Comparison> {
    let mode = main_mode(results);
    let first = results.runs.iter().position(|run| run.mode == mode).unwrap_or(0);
    let runs = &results.runs[first..];
    let one_set = runs.iter().all(|run| run.mode == mode && run.variant.is_none());
    let policies: Vec<NamedPolicy> = runs.iter().filter_map(|run| run.policy.clone()).collect();
    match (baseline, results.comparisons.is_empty() && one_set && policies.len() > 1) {
        (Some(base), true) => compare_to(base, &policies, &[runs[0].rate_scale], None, runs),
        _ => Vec::new(),
    }
}

/// All entries of the main mode, in the order of the runs. `own`: of [`compared`].
pub fn entries<'a>(results: &'a Results, own: &'a [Comparison]) -> Vec<Entry<'a>> {
    let mode = main_mode(results);
    let runs = results.runs.iter().filter(|run| run.mode == mode);
    let entry = |runs: Alike<'_>| -> (String, f64) { (runs[0].label(), runs[0].rate_scale) };
    let compared = |name: &str, rate: f64| {
        results.comparisons.iter().chain(own).find(|one| {
            one.rate_scale == rate && label(Some(&one.policy), one.variant.as_deref()) == name
        })
    };
    over_seeds(runs)
        .into_iter()
        .map(|runs| {
            let (label, rate) = entry(runs.clone());
            Entry { compared: compared(&label, rate), label, rate, runs }
        })
        .collect()
}

/// The rate that plots of single runs show: the workload's own, or the highest one.
pub fn focus(entries: &[Entry]) -> Option<f64> {
    let rates = || entries.iter().map(|entry| entry.rate);
    rates().find(|&rate| rate == 1.0).or_else(|| rates().max_by(f64::total_cmp))
}

/// Those with the lowest mean time to first token first; without those that are not ranked.
pub fn ranked<'e, 'a>(entries: &[&'e Entry<'a>]) -> Vec<(&'e Entry<'a>, f64)> {
    let mut ranked: Vec<(&Entry, f64)> =
        entries.iter().filter_map(|&entry| Some((entry, entry.ttft()?))).collect();
    ranked.sort_by(|one, other| one.1.total_cmp(&other.1));
    ranked
}

/// Those that plots show, in the order of the runs: the best, and the baseline.
pub fn chosen<'e, 'a>(
    entries: &[&'e Entry<'a>],
    baseline: Option<&NamedPolicy>,
) -> Vec<&'e Entry<'a>> {
    if entries.len() <= MOST_RULES {
        return entries.to_vec();
    }
    let best = ranked(entries);
    let best: Vec<&str> =
        best.iter().take(MOST_RULES - 1).map(|(entry, _)| entry.label.as_str()).collect();
    let is_shown = |entry: &&&Entry| best.contains(&entry.label.as_str()) || entry.is_of(baseline);
    entries.iter().filter(is_shown).take(MOST_RULES).copied().collect()
}

/// The rules that are looked at by themselves: the best, and the baseline.
pub fn best_and_baseline<'e, 'a>(
    shown: &[&'e Entry<'a>],
    baseline: Option<&NamedPolicy>,
) -> Vec<&'e Entry<'a>> {
    let ranked = ranked(shown);
    let best = ranked.first().map(|(entry, _)| *entry);
    let base = shown.iter().copied().find(|entry| entry.is_of(baseline));
    let base = base.filter(|base| best.is_none_or(|best| best.label != base.label));
    best.into_iter().chain(base).collect()
}

/// The runs of one mode at one rate and with the first seed, as entries of their own.
pub fn of_mode(results: &Results, mode: Mode) -> Vec<Entry<'_>> {
    let runs: Vec<&RunReport> = results.runs.iter().filter(|run| run.mode == mode).collect();
    runs.into_iter()
        .map(|run| Entry {
            label: run.label(),
            rate: run.rate_scale,
            runs: vec![run],
            compared: None,
        })
        .collect()
}
