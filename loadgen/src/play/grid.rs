//! A grid of runs on all cores: every policy at every rate with every seed.

use super::options::{Cell, RunOptions};
use super::parallel;
use super::progress::Progress;
use super::simulate::simulate;
use crate::figures::RunReport;
use crate::setup::{Prepared, Setup};
use anyhow::Result;
use std::sync::atomic::{AtomicU64, Ordering};

/// The runs in the order rate, policy, seed.
pub fn cells<'a>(setup: &'a Setup, options: &'a RunOptions) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    for &rate_scale in &setup.rates {
        for policy in &setup.policies {
            let seeds = setup.seed..setup.seed + setup.seeds;
            cells.extend(seeds.map(|seed| Cell { policy, rate_scale, seed, limit: None, options }));
        }
    }
    cells
}

/// Plays all cells. The reports are in the order of the cells.
pub fn play(
    setup: &Setup,
    prepared: &Prepared<'_>,
    cells: &[Cell<'_>],
    progress: &Progress,
) -> Result<Vec<RunReport>> {
    let ended = AtomicU64::new(0);
    let bar = progress.start(cells.len() as u64, &label(setup, cells), "runs");
    let reports = parallel::map(cells, |&cell| {
        let report = simulate(setup, prepared, cell, None, &mut |_| ());
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        report
    });
    reports.into_iter().collect()
}

/// What is played: which variant of how many, if there are several.
fn label(setup: &Setup, cells: &[Cell<'_>]) -> String {
    let name = cells.first().and_then(|cell| cell.options.variant.as_deref());
    let place = setup.variants.iter().position(|variant| Some(variant.name.as_str()) == name);
    match place {
        Some(place) => {
            let (number, of) = (place + 1, setup.variants.len());
            format!("{}, {number} of {of}", setup.variants[place].name)
        }
        None => "sim".to_owned(),
    }
}
