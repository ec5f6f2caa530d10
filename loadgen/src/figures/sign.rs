//! Signs that a fleet or a rule is in trouble, beside the figures that say so.

use super::engine::EngineFigures;
use serde::Serialize;
use warmpath_core::report::Figures;

/// A sign, with its figures.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(tag = "sign", rename_all = "snake_case")]
pub enum Sign {
    /// More KV is written between two turns of a session than the workers have memory for, so a session
    /// seldom finds its own blocks.
    Thrash { evictions_per_request: f64, working_set_over_memory: f64 },
    /// One worker, or a few, do nearly all of the work.
    Packed { max_over_mean: f64, workers: u32 },
}

/// A rule packs from this share of the worst case on, which is the number of workers.
const NEAR_WORST: f64 = 0.75;
/// With fewer workers, and fewer requests for each, a lopsided load is chance.
const LEAST_WORKERS: u32 = 4;
const LEAST_REQUESTS_EACH: u64 = 10;

/// The signs of a simulated run. `workers`: their number, if their loads can be compared.
pub fn signs(engine: &EngineFigures, figures: &Figures, workers: Option<u32>) -> Vec<Sign> {
    let mut signs = Vec::new();
    if let Some((evictions, over)) =
        engine.evictions_per_request.zip(engine.working_set_over_memory)
        && evictions >= 1.0
        && over > 1.0
        && engine.loses_evicted
    {
        signs
            .push(Sign::Thrash { evictions_per_request: evictions, working_set_over_memory: over });
    }
    if let Some((max_over_mean, workers)) = figures.balance_max_over_mean.zip(workers)
        && workers >= LEAST_WORKERS
        && figures.requests >= u64::from(workers) * LEAST_REQUESTS_EACH
        && max_over_mean >= f64::from(workers) * NEAR_WORST
    {
        signs.push(Sign::Packed { max_over_mean, workers });
    }
    signs
}
