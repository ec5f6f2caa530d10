//! How many times the throughput of one rung is that of another, and whether the claim of "5x" holds.

use super::ladder::{DEVICES, NONE, POOL};
use super::measured::{Measured, Seeds};
use crate::figures::Estimate;
use crate::studies::measure::BOUNDS;
use serde::Serialize;

/// What is claimed for a shared context-memory tier.
pub const CLAIM: f64 = 5.0;

/// The ratio of two rungs in tokens per second and chip within the SLO.
#[derive(Debug, Serialize)]
pub struct Ratio {
    pub of: &'static str,
    pub over: &'static str,
    /// The mean over the seeds. None: with one of them, one of the rungs serves nothing within the SLO.
    pub times: Option<f64>,
    /// Half of the 95 % interval, seed by seed. None: one seed.
    pub times_half_width_95: Option<f64>,
    /// Whether the first of them serves something within the SLO, with every seed.
    pub serves: bool,
    /// Whether the second does.
    pub over_serves: bool,
    /// Whether it does with some seeds and not with others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub over_serves_sometimes: bool,
}

/// The claim of "5x" by what it may be meant against: the same fleet without the pool, one with HBM alone,
/// and one that reuses nothing.
pub fn ratios(rungs: &[Seeds]) -> Vec<Ratio> {
    let place = |name: &str| rungs.iter().position(|rung| rung.name() == name);
    let Some(pool) = place(POOL) else { return Vec::new() };
    let hbm_alone = rungs[..pool]
        .iter()
        .map(Seeds::first)
        .rposition(|rung| rung.tiers.len() == 1 && rung.name != DEVICES);
    let others = [Some(pool - 1), hbm_alone, place(NONE)];
    let mut ratios: Vec<Ratio> = Vec::new();
    for other in others.into_iter().flatten().map(|i| &rungs[i]) {
        let over = other.name();
        if ratios.iter().all(|ratio| ratio.over != over) {
            ratios.push(Ratio::of(&rungs[pool], other));
        }
    }
    ratios
}

impl Ratio {
    fn of(pool: &Seeds, other: &Seeds) -> Self {
        let served = |rung: &Measured| rung.at_slo.map(|at_slo| at_slo.served);
        let pairs = pool.each.iter().zip(&other.each);
        let each = pairs.map(|(with, without)| Some(served(with)? / served(without)?));
        let each: Option<Vec<f64>> = each.collect();
        let times = each.map(|each| Estimate::of(&each));
        let serves = |rung: &Seeds| rung.each.iter().all(|rung| rung.at_slo.is_some());
        Self {
            of: POOL,
            over: other.name(),
            times: times.map(|times| times.mean),
            times_half_width_95: times.and_then(|times| times.half_width_95),
            serves: serves(pool),
            over_serves: serves(other),
            over_serves_sometimes: !serves(other)
                && other.each.iter().any(|rung| rung.at_slo.is_some()),
        }
    }
}

/// Each ratio against the claim, in a line each.
pub fn claims(ratios: &[Ratio]) -> Vec<String> {
    let of_nothing = |ratio: &Ratio| !ratio.serves && !ratio.over_serves;
    if !ratios.is_empty() && ratios.iter().all(of_nothing) {
        let nothing = "No rung serves anything within the SLO at any load, so nothing is said of 5x: set \
                       --ttft to what users of such prompts wait for.";
        return vec![nothing.to_owned()];
    }
    ratios.iter().map(claim).collect()
}

fn claim(ratio: &Ratio) -> String {
    let Ratio { of, over, times, times_half_width_95: half, .. } = ratio;
    let Ratio { serves, over_serves, over_serves_sometimes, .. } = ratio;
    let said = match times {
        None if !serves && !over_serves => {
            "neither serves anything within the SLO at any load".to_owned()
        }
        None if !serves => "it serves nothing within the SLO at any load".to_owned(),
        None if *over_serves_sometimes => {
            "with some seeds the other serves nothing within the SLO at any load".to_owned()
        }
        None => "it serves within the SLO what the other does not at any load".to_owned(),
        Some(times) => {
            // A load is found to a step; over seeds the interval holds that too.
            let (off, why) = match half {
                Some(half) => (*half, " (1 is within the interval)"),
                None => (BOUNDS.within * times.min(1.0), " (within what a load is found to)"),
            };
            let reached = match half {
                _ if times - half.unwrap_or(0.0) >= CLAIM => "reached",
                Some(half) if times + half >= CLAIM => "not decided by these seeds",
                _ => "not reached",
            };
            let interval = half.map_or_else(String::new, |half| format!(" ±{half:.2}"));
            let apart = if (times - 1.0).abs() > off { "" } else { why };
            format!("{times:.2}{interval} times the tokens/s by GPU{apart}: {CLAIM}x is {reached}")
        }
    };
    format!("\"{of}\" over \"{over}\": {said}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(times: f64, half: Option<f64>) -> Ratio {
        let (of, over) = (POOL, NONE);
        let (serves, over_serves, over_serves_sometimes) = (true, true, false);
        let (times, times_half_width_95) = (Some(times), half);
        Ratio { of, over, times, times_half_width_95, serves, over_serves, over_serves_sometimes }
    }

    #[test]
    fn a_claim_is_decided_by_the_interval() {
        for (times, half, said) in [
            (6.0, None, "6.00 times the tokens/s by GPU: 5x is reached."),
            (6.0, Some(0.5), "6.00 ±0.50 times the tokens/s by GPU: 5x is reached."),
            (
                5.2,
                Some(0.5),
                "5.20 ±0.50 times the tokens/s by GPU: 5x is not decided by these seeds.",
            ),
            (4.0, Some(0.5), "4.00 ±0.50 times the tokens/s by GPU: 5x is not reached."),
            (
                1.2,
                Some(0.3),
                "1.20 ±0.30 times the tokens/s by GPU (1 is within the interval): 5x is not reached.",
            ),
            (
                1.03,
                None,
                "1.03 times the tokens/s by GPU (within what a load is found to): 5x is not reached.",
            ),
        ] {
            let claimed = claim(&ratio(times, half));
            assert_eq!(claimed, format!("\"+ shared pool\" over \"no reuse\": {said}"));
        }
    }
}
