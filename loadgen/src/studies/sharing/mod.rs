//! `loadgen sharing`: what each kind of sharing is worth on a workload, and where a shared pool makes
//! a fleet five times as fast.

mod ladder;
mod ladder_sheet;
mod measured;
mod plots;
mod ratios;
mod sweep;
mod sweep_sheet;

use crate::args::Question;
use crate::files::bad;
use crate::play::Progress;
use crate::play::parallel;
use crate::report::{OutputFiles, Screen};
use crate::setup::Setup;
use crate::studies::question;
use anyhow::Result;
use ladder::rungs;
use measured::{Measured, OverSeeds, Seeds, measured};
use ratios::{Ratio, ratios};
use serde::Serialize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use sweep::Point;
use warmpath_sheet::{Sheet, render};

pub const SCHEMA: &str = "warmpath.sharing.v1";

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    config: &'a Setup,
    /// Each rung over the seeds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    over_seeds: Vec<OverSeeds>,
    /// Each rung with the first seed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rungs: Vec<Measured>,
    /// The same with each further seed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_seeds: Vec<Vec<Measured>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ratios: Vec<Ratio>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sweep: Vec<Point>,
}

/// What is asked.
#[derive(Debug)]
pub struct Params<'a> {
    pub question: &'a Question,
    /// Instead of the ladder: searches where a shared pool makes a fleet five times as fast.
    pub sweep: bool,
    /// Number of seeds.
    pub seeds: Option<u64>,
}

/// A rung is searched with each of these.
const SEEDS: u64 = 3;

pub fn run(asked: &Params<'_>, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let mut setup = question::resolve(asked.question)?;
    // A trace is the same with every seed, and a sweep is wide rather than deep.
    let by_itself = if asked.question.trace.is_some() || asked.sweep { 1 } else { SEEDS };
    setup.set_seeds(asked.seeds.unwrap_or(by_itself))?;
    let files = question::files(asked.question, screen)?;
    if asked.sweep {
        if asked.question.trace.is_some() || asked.question.workload.is_some() {
            return Err(bad("--sweep: makes its own workloads, expected no --workload or --trace"));
        }
        let points = sweep::play(&setup, progress)?;
        screen.show_with(&sweep_sheet::page(&points), |document| {
            plots::add_sweep(document, &points)
        })?;
        let csv = render::csv(&sweep_sheet::data(&points));
        let report = Report { sweep: points, ..Report::of(&setup) };
        return write(files, &csv, &report);
    }
    let rungs = rungs(&setup);
    let seeds = setup.seed..setup.seed + setup.seeds;
    let cells: Vec<_> =
        rungs.iter().flat_map(|rung| seeds.clone().map(move |seed| (rung, seed))).collect();
    let bar = progress.start(cells.len() as u64, "sharing", "rungs");
    let ended = AtomicU64::new(0);
    let measured = parallel::map(&cells, |&(rung, seed)| {
        let measured = measured(&rung.with_seed(seed), seed == setup.seed);
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        measured
    });
    drop(bar);
    let mut each = measured.into_iter().collect::<Result<Vec<_>>>()?.into_iter();
    let measured: Vec<Seeds> = rungs
        .iter()
        .map(|_| Seeds { each: each.by_ref().take(setup.seeds as usize).collect() })
        .collect();
    let ratios = ratios(&measured);
    screen.show_with(&ladder_sheet::page(&setup, &measured, &ratios), |document| {
        plots::add_ladder(document, &setup, &measured, &ratios);
    })?;
    let csv = render::csv(&ladder_sheet::data(&measured));
    let over_seeds =
        if setup.seeds > 1 { measured.iter().map(Seeds::sum).collect() } else { Vec::new() };
    let mut by_seed: Vec<Vec<Measured>> = seeds.map(|_| Vec::new()).collect();
    for rung in measured {
        by_seed.iter_mut().zip(rung.each).for_each(|(of_seed, rung)| of_seed.push(rung));
    }
    let more_seeds = by_seed.split_off(1);
    let rungs = by_seed.pop().unwrap_or_default();
    write(files, &csv, &Report { over_seeds, rungs, more_seeds, ratios, ..Report::of(&setup) })
}

/// Every table without rows, with all the columns that it can have.
pub fn blanks() -> Vec<Sheet> {
    vec![ladder_sheet::blank(), sweep_sheet::blank()]
}

impl<'a> Report<'a> {
    fn of(config: &'a Setup) -> Self {
        let (over_seeds, rungs, more_seeds) = (Vec::new(), Vec::new(), Vec::new());
        let (ratios, sweep) = (Vec::new(), Vec::new());
        Self { schema: SCHEMA, config, over_seeds, rungs, more_seeds, ratios, sweep }
    }
}

fn write(files: OutputFiles, csv: &str, report: &impl Serialize) -> Result<ExitCode> {
    if let Some(file) = files.csv {
        file.finish(csv.as_bytes())?;
    }
    if let Some(file) = files.json {
        let mut bytes = serde_json::to_vec_pretty(report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
