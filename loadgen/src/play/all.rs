//! All runs of a command: single runs or a grid, and the capacities.

use super::options::RunOptions;
use super::progress::Progress;
use super::{capacity, grid};
use crate::figures::{Results, RunReport, compare_to};
use crate::setup::{Prepared, Setup};
use anyhow::Result;

/// The results of single runs, with the capacities if `--capacity` is given.
pub fn of_runs(
    runs: Vec<RunReport>,
    setup: &Setup,
    prepared: &Prepared<'_>,
    options: &RunOptions,
    progress: &Progress,
) -> Result<Results> {
    let capacities = if setup.capacity {
        capacity::find(setup, prepared, options, progress)?
    } else {
        Vec::new()
    };
    let (notes, by_owner) = (setup.notes(), setup.has_tenants());
    Ok(Results { runs, capacities, notes, by_owner, ..Results::default() })
}

/// Plays every policy at every rate with every seed, and compares them.
pub fn of_grid(
    setup: &Setup,
    prepared: &Prepared<'_>,
    options: &RunOptions,
    progress: &Progress,
) -> Result<Results> {
    let runs = grid::play(setup, prepared, &grid::cells(setup, options), progress)?;
    let variant = options.variant.as_deref();
    let comparisons = compare_to(&setup.baseline, &setup.policies, &setup.rates, variant, &runs);
    Ok(Results { comparisons, ..of_runs(runs, setup, prepared, options, progress)? })
}
