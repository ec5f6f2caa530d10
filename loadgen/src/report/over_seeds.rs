//! Runs that differ only in their seed.

use crate::figures::RunReport;

/// Runs of one policy, variant, mode and rate; never empty.
pub type Alike<'a> = Vec<&'a RunReport>;

/// The runs by policy, variant, mode and rate, in the order of the first of each.
pub fn over_seeds<'a>(runs: impl IntoIterator<Item = &'a RunReport>) -> Vec<Alike<'a>> {
    let key = |run: &RunReport| (run.label(), run.mode, run.rate_scale);
    let mut groups: Vec<Alike<'a>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|group| key(group[0]) == key(run)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    groups
}

/// The mean of a figure over the seeds.
pub fn mean(runs: &[&RunReport], of: impl Fn(&RunReport) -> f64) -> f64 {
    runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64
}
