//! `loadgen sweep`: one scenario at many points, such as fleets of several sizes.

mod cells;
mod plots;
mod points;

use crate::args::{AxisArg, PartArg};
use crate::figures::{Mode, Results, RunId, RunReport, compare_to};
use crate::play::{Cell, Progress, RunOptions, parallel, profiles, scope, simulate};
use crate::setup::{Prepared, Setup};
use anyhow::Result;
use cells::{CellResult, Cells, digest, key};
pub use plots::add;
use points::{Point, points};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::routing::policy::NamedPolicy;

/// What is asked.
pub struct Question<'a> {
    pub axes: &'a [AxisArg],
    /// The length of the phases of a step in the load.
    pub phase_s: f64,
    /// Where finished cells are kept.
    pub folder: Option<&'a Path>,
    pub part: Option<PartArg>,
}

/// What came of it.
pub struct Swept {
    pub results: Results,
    /// The values of the axes at each point.
    pub values: Vec<Vec<f64>>,
    /// Cells in all, and those without a result: other processes play them.
    pub cells: usize,
    pub missing: usize,
    /// Cells that this process played.
    pub played: usize,
}

/// One cell to play.
struct Todo<'a> {
    point: &'a Point,
    prepared: &'a Prepared<'a>,
    policy: &'a NamedPolicy,
    rate: f64,
    seed: u64,
    key: String,
}

pub fn sweep(asked: &Question<'_>, setup: &Setup, progress: &Progress) -> Result<Swept> {
    let points = points(setup, asked.axes, asked.phase_s)?;
    let mut cells = Cells::open(asked.folder, asked.part)?;
    let requests = digest(setup.source.files())?;
    // Block names depend on the block size and on nothing else that an axis changes.
    let block_size = |point: &Point| point.setup.fleet.profile().block_size;
    let mut by_block_size = BTreeMap::new();
    for point in &points {
        let prepare = || point.setup.source.prepare(&scope(&point.setup));
        by_block_size.entry(block_size(point)).or_insert_with(prepare);
    }
    let prepared: Vec<Prepared<'_>> = points
        .iter()
        .map(|point| {
            let whole = &by_block_size[&block_size(point)];
            whole.stretched(point.stretch).in_course(point.course.as_ref())
        })
        .collect();
    let mut all = Vec::new();
    for (point, prepared) in points.iter().zip(&prepared) {
        for &rate in &setup.rates {
            for policy in &setup.policies {
                for seed in setup.seed..setup.seed + setup.seeds {
                    let about = (point.stretch, point.course.as_ref());
                    let key = key(&point.setup, about, policy, (rate, seed), &requests)?;
                    all.push(Todo { point, prepared, policy, rate, seed, key });
                }
            }
        }
    }
    // Two points may be the same: their cells are played once.
    let mut seen = BTreeSet::new();
    let is_ours =
        |place: usize| asked.part.is_none_or(|part| place as u64 % part.of == part.number);
    let todo: Vec<&Todo<'_>> = all
        .iter()
        .enumerate()
        .filter(|(place, cell)| is_ours(*place) && cells.get(&cell.key).is_none())
        .map(|(_, cell)| cell)
        .filter(|cell| seen.insert(cell.key.as_str()))
        .collect();
    let options = RunOptions { bounds: true, ..RunOptions::default() };
    let bar = progress.start(todo.len() as u64, "sweep", "runs");
    let ended = AtomicU64::new(0);
    let played = parallel::map(&todo, |cell| {
        let result = cells.keep(&play(cell, &options)?)?;
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        anyhow::Ok(result)
    });
    drop(bar);
    let count = played.len();
    for result in played {
        cells.add(result?);
    }
    // Other parts may have ended meanwhile.
    if let (Some(folder), Some(_)) = (asked.folder, asked.part) {
        cells.read_all(folder)?;
    }
    let missing = all.iter().filter(|cell| cells.get(&cell.key).is_none()).count();
    let results =
        if missing == 0 { results(setup, &points, &all, &cells) } else { Results::default() };
    let values = points.iter().map(|point| point.values.clone()).collect();
    let mut swept = Swept { results, values, cells: all.len(), missing, played: count };
    if cells.broken > 0 {
        let lines = cells.broken;
        swept.results.notes.push(format!(
            "--cells: {lines} lines are no cells, as where a process was killed while it wrote. They were left out."
        ));
    }
    Ok(swept)
}

fn play(cell: &Todo<'_>, options: &RunOptions) -> Result<CellResult> {
    let Todo { point, prepared, policy, rate, seed, key } = cell;
    let one = Cell { policy, rate_scale: *rate, seed: *seed, limit: None, options };
    let run = simulate(&point.setup, prepared, one, None, &mut |_| ())?;
    Ok(CellResult::of(key.clone(), &point.name, run))
}

/// The results of all cells, as if they had been played by one process.
fn results(setup: &Setup, points: &[Point], all: &[Todo<'_>], cells: &Cells) -> Results {
    let mut results = Results::default();
    let each = all.chunks(all.len() / points.len());
    for (point, of_point) in points.iter().zip(each) {
        let runs: Vec<RunReport> = of_point.iter().map(|cell| report(cell, cells)).collect();
        let name = Some(point.name.as_str());
        let part = compare_to(&setup.baseline, &setup.policies, &setup.rates, name, &runs);
        results.comparisons.extend(part);
        results.runs.extend(runs);
    }
    results.notes = setup.notes();
    results
}

fn report(cell: &Todo<'_>, cells: &Cells) -> RunReport {
    let result = cells.get(&cell.key).expect("no cell is missing").clone();
    let id = RunId {
        policy: Some(cell.policy.clone()),
        variant: Some(cell.point.name.clone()),
        mode: Mode::Sim,
        workload: cell.prepared.name(),
        seed: cell.seed,
        rate_scale: cell.rate,
    };
    let profiles = profiles(&cell.point.setup.fleet, None);
    RunReport {
        valid: result.invalid_because.is_none(),
        invalid_because: result.invalid_because,
        bounds: result.bounds,
        course: result.course,
        parts: result.parts,
        ..RunReport::new(id, profiles, result.figures, result.wall_s)
    }
}
