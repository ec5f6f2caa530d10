//! Whether the live runs of a comparison agree with the simulation of the same requests.
//!
//! A live run is judged by its simulation, not by its own figures: a machine that is too slow makes
//! its TTFT longer, and any lateness is a small share of a long TTFT.

use super::validity::{Late, REMEDY, too_late};
use crate::figures::{AgainstSim, Mode, RunReport};

/// The largest difference of the mean TTFT, in percent of the simulation's.
pub const TTFT_PERCENT: f64 = 10.0;
/// The largest difference of the hit rate, in points.
pub const HIT_POINTS: f64 = 2.0;

/// Marks the live runs that are not valid, and says why. `runs` has a sim-slice of each live run.
pub fn judge(runs: &mut [RunReport]) {
    let pairs: Vec<(usize, Pair)> = runs
        .iter()
        .enumerate()
        .filter(|(_, run)| run.mode == Mode::Live)
        .filter_map(|(i, live)| {
            let of_same =
                |run: &&RunReport| run.mode == Mode::SimSlice && run.label() == live.label();
            Some((i, Pair::of(live, runs.iter().find(of_same)?)))
        })
        .collect();
    for (i, pair) in &pairs {
        let mut why: Vec<String> =
            [pair.late_for(), pair.apart(), pair.hits_apart()].into_iter().flatten().collect();
        why.extend(out_of_order(pair, pairs.iter().map(|(_, other)| other)));
        let run = &mut runs[*i];
        run.against_sim = Some(pair.against_sim());
        // A run that lost requests says so first; then its latencies mean nothing.
        if !why.is_empty() && run.valid {
            run.valid = false;
            run.invalid_because = Some(format!("{}: {}", why.join("; "), pair.remedy()));
        }
    }
}

/// A live run beside its simulation.
#[derive(Debug)]
struct Pair {
    label: String,
    late: Late,
    /// Mean TTFT in seconds: live, simulated.
    ttft: Option<[f64; 2]>,
    hit_points: Option<f64>,
}

impl Pair {
    fn of(live: &RunReport, sim: &RunReport) -> Self {
        let figures = live.live.as_ref().expect("a live run has such figures");
        let (ours, theirs) = (&live.figures, &sim.figures);
        let ttft = ours.ttft_s.zip(theirs.ttft_s).map(|(ours, theirs)| [ours.mean, theirs.mean]);
        let hits = ours.hit_rate.zip(theirs.hit_rate);
        Self {
            label: live.label(),
            late: Late::of(figures, live.speedup.unwrap_or(1.0)),
            ttft: ttft.filter(|[_, sim]| *sim > 0.0),
            hit_points: hits.map(|(ours, theirs)| (ours - theirs) * 100.0),
        }
    }

    fn change_percent(&self) -> Option<f64> {
        self.ttft.map(|[live, sim]| (live / sim - 1.0) * 100.0)
    }

    fn against_sim(&self) -> AgainstSim {
        AgainstSim {
            ttft_change_percent: self.change_percent(),
            hit_points: self.hit_points,
            lateness_s: self.late.total(),
        }
    }

    fn late_for(&self) -> Option<String> {
        too_late(&self.late, self.ttft?[1], "the simulated mean TTFT")
    }

    fn apart(&self) -> Option<String> {
        let change = self.change_percent().filter(|change| change.abs() > TTFT_PERCENT)?;
        Some(format!(
            "mean TTFT is {change:+.0} % of its simulation, more than {TTFT_PERCENT} % away"
        ))
    }

    fn hits_apart(&self) -> Option<String> {
        let points = self.hit_points.filter(|points| points.abs() > HIT_POINTS)?;
        Some(format!(
            "hit rate is {points:+.1} points from its simulation, more than {HIT_POINTS} away"
        ))
    }

    fn remedy(&self) -> String {
        match self.late_for() {
            Some(_) => REMEDY.to_owned(),
            // With few requests, or near the fleet's limit, one other decision moves a mean.
            None => format!("{REMEDY}; or play more requests (--live-requests)"),
        }
    }
}

/// A reason if live and simulation order this policy and another one differently, though they differ
/// by more than the tolerance.
fn out_of_order<'a>(own: &Pair, others: impl Iterator<Item = &'a Pair>) -> Option<String> {
    let own_ttft = own.ttft?;
    let swapped = |other: &&Pair| other.ttft.is_some_and(|other| are_swapped(own_ttft, other));
    let others: Vec<&str> = others.filter(swapped).map(|other| other.label.as_str()).collect();
    let first = others.first()?;
    let more = match others.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("live and simulation order it and {first}{more} differently by mean TTFT"))
}

/// Whether two policies change places between live and simulation, and one of the two differences is
/// beyond the tolerance.
fn are_swapped([live, sim]: [f64; 2], [other_live, other_sim]: [f64; 2]) -> bool {
    let wide =
        |one: f64, other: f64| one.max(other) > one.min(other) * (1.0 + TTFT_PERCENT / 100.0);
    (live < other_live) != (sim < other_sim) && (wide(live, other_live) || wide(sim, other_sim))
}

#[cfg(test)]
mod tests;
