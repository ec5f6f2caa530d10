//! Runs that differ only in their seed.

use crate::figures::RunReport;

/// Runs of one policy, variant, mode and rate; never empty.
pub type Alike<'a> = Vec<&'a RunReport>;

/// The runs by policy, variant, mode and rate, in the order of the first of each.
pub fn over_seeds<'a>(runs: impl IntoIterator<Item = &'a RunReport>) -> Vec<Alike<'a>> {
    let key = |run: &RunReport| (run.label(), run.mode, run.rate_scale);
    let mut keys = Vec::new();
    let mut groups: Vec<Alike<'a>> = Vec::new();
    for run in runs {
        let own = key(run);
        // Runs that differ in their seed mostly stand together, so it is mostly the last group.
        match keys.iter().rposition(|key| *key == own) {
            Some(place) => groups[place].push(run),
            None => {
                keys.push(own);
                groups.push(vec![run]);
            }
        }
    }
    groups
}

/// The mean of a figure over the seeds.
pub fn mean(runs: &[&RunReport], of: impl Fn(&RunReport) -> f64) -> f64 {
    runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64
}

/// The mean of a figure over the seeds. None: a run has no such figure.
pub fn known_mean(runs: &[&RunReport], of: impl Fn(&RunReport) -> Option<f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = runs.iter().map(|run| of(run)).collect();
    values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
}
