//! Rows of two reports that are the same by label, mode and rate.

use super::read::{Run, Side};
use crate::figures::Estimate;
use std::collections::BTreeSet;

/// A figure of a run that is compared.
pub type Figure = fn(&Run) -> Option<f64>;

/// The same row in both reports.
#[derive(Debug)]
pub struct Pair<'a> {
    pub name: String,
    pub mode: &'a str,
    pub rate_scale: f64,
    /// Over the seeds of each report.
    pub before: Vec<&'a Run>,
    pub after: Vec<&'a Run>,
}

impl Pair<'_> {
    /// The means of a figure. None: a seed has no such figure.
    pub fn means(&self, of: Figure) -> (Option<f64>, Option<f64>) {
        let mean = |runs: &[&Run]| {
            let values: Option<Vec<f64>> = runs.iter().map(|run| of(run)).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        (mean(&self.before), mean(&self.after))
    }

    /// The seeds that both have.
    fn seeds(&self) -> Vec<(&Run, &Run)> {
        let twin = |run: &&Run| {
            let seed = run.seed;
            self.after.iter().copied().find(|other| other.seed == seed)
        };
        self.before.iter().copied().filter_map(|run| Some((run, twin(&run)?))).collect()
    }

    /// A difference seed by seed, over the seeds that both have; without any, of the means.
    pub fn change(&self, of: Figure, difference: fn(f64, f64) -> f64) -> Option<Estimate> {
        let both = self.seeds();
        let changes: Option<Vec<f64>> =
            both.iter().map(|(before, after)| Some(difference(of(before)?, of(after)?))).collect();
        let changes = changes?;
        // The same figures with every seed say as much as one.
        let repeats = changes.windows(2).all(|two| two[0] == two[1]);
        match changes.as_slice() {
            [] => {
                let (before, after) = self.means(of);
                Some(Estimate::of(&[difference(before?, after?)]))
            }
            [first, ..] if repeats => Some(Estimate::of(&[*first])),
            changes => Some(Estimate::of(changes)),
        }
        .filter(|estimate| estimate.mean.is_finite())
    }

    pub fn is_valid(&self) -> bool {
        self.before.iter().chain(&self.after).all(|run| run.valid)
    }
}

/// The rows that both have, in the order of the first.
pub fn pairs<'a>(before: &'a Side, after: &'a Side) -> Vec<Pair<'a>> {
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    let is_of = |pair: &Pair<'_>, run: &Run| {
        pair.name == run.name() && pair.mode == run.mode && pair.rate_scale == run.rate_scale
    };
    for run in &before.runs {
        match pairs.iter_mut().find(|pair| is_of(pair, run)) {
            Some(pair) => pair.before.push(run),
            None => pairs.push(Pair {
                name: run.name(),
                mode: &run.mode,
                rate_scale: run.rate_scale,
                before: vec![run],
                after: Vec::new(),
            }),
        }
    }
    for run in &after.runs {
        if let Some(pair) = pairs.iter_mut().find(|pair| is_of(pair, run)) {
            pair.after.push(run);
        }
    }
    pairs.retain(|pair| !pair.after.is_empty());
    pairs
}

/// Names of rows that only one of the reports has.
pub fn alone(side: &Side, pairs: &[Pair<'_>]) -> Vec<String> {
    let is_in = |run: &Run| {
        pairs.iter().any(|pair| {
            pair.name == run.name() && pair.mode == run.mode && pair.rate_scale == run.rate_scale
        })
    };
    let names = side.runs.iter().filter(|run| !is_in(run));
    let names: BTreeSet<String> =
        names.map(|run| format!("{}, {} at {}x", run.name(), run.mode, run.rate_scale)).collect();
    names.into_iter().collect()
}

/// Why differences are not those of what was changed alone: other requests, other engines, other seeds.
pub fn not_comparable(before: &Side, after: &Side) -> Vec<String> {
    let set = |side: &Side, of: fn(&Run) -> String| -> BTreeSet<String> {
        side.runs.iter().map(of).collect()
    };
    let list = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
    type Of = fn(&Run) -> String;
    let kinds: [(&str, Of); 3] = [
        ("workload", |run| run.workload.clone()),
        ("profile", |run| run.profile.clone().unwrap_or_else(|| "not known".to_owned())),
        ("seed", |run| run.seed.to_string()),
    ];
    let mut why: Vec<String> = kinds
        .into_iter()
        .filter_map(|(kind, of)| {
            let (first, second) = (set(before, of), set(after, of));
            let (one, other) = (list(&first), list(&second));
            (first != second)
                .then(|| format!("the {kind} is {one} in the first and {other} in the second"))
        })
        .collect();
    let of_source = |side: &Side| -> Vec<(String, String)> {
        let is_of_source = |(key, _): &(&String, &String)| key.starts_with("source.");
        side.settings.iter().filter(is_of_source).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    if of_source(before) != of_source(after) && !why.iter().any(|line| line.contains("workload")) {
        why.push("settings of the workload differ, see the table of settings".to_owned());
    }
    why
}
