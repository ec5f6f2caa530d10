//! The runs of one policy at one rate, a run for each seed.

use super::goal::Goal;
use super::parts;
use super::run::RunReport;
use super::stats::Estimate;
use warmpath_core::report::Figures;

/// Runs that differ in their seed only, in the order of their seeds.
#[derive(Debug)]
pub struct Sample<'a> {
    runs: Vec<&'a RunReport>,
    /// Whether every seed gave the same figures. Then all runs together say as much as one.
    repeats: bool,
}

impl<'a> Sample<'a> {
    pub fn new(runs: Vec<&'a RunReport>) -> Self {
        let repeats = runs.windows(2).all(|two| two[0].figures == two[1].figures);
        Self { runs, repeats }
    }

    /// A figure's mean over the seeds.
    pub fn mean(&self, figure: impl Fn(&Figures) -> f64) -> Estimate {
        let values = self.runs.iter().map(|run| figure(&run.figures));
        estimate(values, self.repeats)
    }

    /// The same of a figure that a run may lack. None: a seed has no such figure, and a mean over
    /// the others would hide that.
    pub fn known(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Option<Estimate> {
        let values: Option<Vec<f64>> = self.runs.iter().map(|run| figure(&run.figures)).collect();
        values.map(|values| estimate(values.into_iter(), self.repeats))
    }

    /// A difference to other runs, seed by seed. Effects that the seeds have in common cancel out.
    /// None if a seed has no such difference.
    pub fn paired(
        &self,
        other: &Self,
        difference: impl Fn(&Figures, &Figures) -> Option<f64>,
    ) -> Option<Estimate> {
        let pairs = self.runs.iter().zip(&other.runs);
        let pairs = pairs.map(|(own, other)| {
            assert_eq!(own.seed, other.seed, "a pair has one seed");
            difference(&own.figures, &other.figures)
        });
        let pairs: Option<Vec<f64>> = pairs.collect();
        let estimate = estimate(pairs?.into_iter(), self.repeats && other.repeats);
        estimate.mean.is_finite().then_some(estimate)
    }

    /// How much a figure differs from that of other runs, in percent of theirs, seed by seed. Of one run each, or of
    /// the same run with every seed, part by part.
    pub fn change_percent(&self, other: &Self, goal: Goal) -> Option<Estimate> {
        let change = self.paired(other, |own, other| {
            let (own, other) = ((goal.figure)(own)?, (goal.figure)(other)?);
            Some(if own == other { 0.0 } else { (own / other - 1.0) * 100.0 })
        })?;
        if change.n > 1 {
            return Some(change);
        }
        let (own, other) = (self.runs.first()?, other.runs.first()?);
        let of_parts = parts::change_percent(&own.parts, &other.parts, goal.part);
        // The figures of the run stand; the parts say how sure they are.
        Some(of_parts.map_or(change, |of_parts| of_parts.around(change.mean)))
    }

    /// Whether the latencies of every run stand for its requests.
    pub fn has_latencies(&self) -> bool {
        self.runs.iter().all(|run| covers(&run.figures))
    }

    /// Requests of all runs: failed, and sent.
    pub fn failed(&self) -> (u64, u64) {
        let sum = |of: fn(&Figures) -> u64| self.runs.iter().map(|run| of(&run.figures)).sum();
        (sum(|figures| figures.errors), sum(|figures| figures.offered))
    }

    /// Whether the figures of every run can be used.
    pub fn is_valid(&self) -> bool {
        self.runs.iter().all(|run| run.valid)
    }
}

fn estimate(values: impl Iterator<Item = f64>, repeats: bool) -> Estimate {
    let most = if repeats { 1 } else { usize::MAX };
    Estimate::of(&values.take(most).collect::<Vec<_>>())
}

/// Whether the figures cover the requests: there are answers, and at most 1 % of the requests failed.
/// Latencies are those of the answered requests, so a policy that loses many would look fast. Requests
/// that a router refuses by its admission do not count here: a note says how many they are.
pub const fn covers(figures: &Figures) -> bool {
    figures.requests > 0 && (figures.errors - figures.refused) * 100 <= figures.offered
}
