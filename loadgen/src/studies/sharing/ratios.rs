//! How many times the throughput of one rung is that of another, and whether the claim of "5x" holds.

use super::ladder::{DEVICES, NONE, POOL};
use super::measured::Measured;
use crate::play::capacity::step;
use crate::studies::measure::BOUNDS;
use serde::Serialize;

/// What is claimed for a shared context-memory tier.
pub const CLAIM: f64 = 5.0;

/// The ratio of two rungs in tokens per second and chip within the SLO.
#[derive(Debug, Serialize)]
pub struct Ratio {
    pub of: &'static str,
    pub over: &'static str,
    /// None: one of them serves nothing within the SLO.
    pub times: Option<f64>,
    /// Whether the first of them serves anything within the SLO.
    pub serves: bool,
    /// Whether the second does.
    pub over_serves: bool,
}

/// The claim of "5x" by what it may be meant against: the same fleet without the pool, one with HBM alone,
/// and one that reuses nothing.
pub fn ratios(rungs: &[Measured]) -> Vec<Ratio> {
    let place = |name: &str| rungs.iter().position(|rung| rung.name == name);
    let Some(pool) = place(POOL) else { return Vec::new() };
    let hbm_alone =
        rungs[..pool].iter().rposition(|rung| rung.tiers.len() == 1 && rung.name != DEVICES);
    let others = [Some(pool - 1), hbm_alone, place(NONE)];
    let mut ratios: Vec<Ratio> = Vec::new();
    for other in others.into_iter().flatten().map(|i| &rungs[i]) {
        if ratios.iter().all(|ratio| ratio.over != other.name) {
            let served = |rung: &Measured| rung.at_slo.map(|at_slo| at_slo.served);
            let times =
                served(&rungs[pool]).zip(served(other)).map(|(with, without)| with / without);
            let serves = rungs[pool].at_slo.is_some();
            let over_serves = other.at_slo.is_some();
            ratios.push(Ratio { of: POOL, over: other.name, times, serves, over_serves });
        }
    }
    ratios
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
    let Ratio { of, over, times, serves, over_serves } = ratio;
    let said = match times {
        None if !serves && !over_serves => {
            "neither serves anything within the SLO at any load".to_owned()
        }
        None if !serves => "it serves nothing within the SLO at any load".to_owned(),
        None => "it serves within the SLO what the other does not at any load".to_owned(),
        Some(times) => {
            let reached = if *times >= CLAIM { "reached" } else { "not reached" };
            let apart = (times.max(1.0 / times) - 1.0) > step(BOUNDS);
            let apart = if apart { "" } else { " (within what a load is found to)" };
            format!("{times:.2} times the tokens/s by GPU{apart}: {CLAIM}x is {reached}")
        }
    };
    format!("\"{of}\" over \"{over}\": {said}.")
}
