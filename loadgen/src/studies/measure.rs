//! A fleet at a given load, and at the highest load within the SLO. `sharing`, `advise` and
//! `generations` compare these.

use crate::economics::{Economics, Served};
use crate::figures::{AtRoom, Found, RunReport};
use crate::play::capacity::{Bounds, search};
use crate::play::kv_room;
use crate::play::{Cell, GivenUp, RunOptions, scope, simulate};
use crate::setup::Prepared;
use crate::setup::Setup;
use anyhow::Result;
use serde::Serialize;

/// A workload is played at most this many times as long as its file says, and with at most this many
/// requests.
const LONGEST: f64 = 8.0;
const MOST_REQUESTS: f64 = 24_000.0;

/// The found load is within 6 % of the highest one.
pub const BOUNDS: Bounds =
    Bounds { start: 1.0, step: 2.0, least: 1.0 / 64.0, most: 256.0, within: 1.0 / 16.0 };

/// Plays the whole workload with the first policy. `load` multiplies the arrival rate, or the number
/// of sessions of a closed loop.
pub fn run_at(setup: &Setup, load: f64) -> Result<RunReport> {
    play(setup, &RunOptions::default(), &setup.source.prepare(&scope(setup)), load)
}

/// Finds the highest load within the SLO.
pub fn at_slo(setup: &Setup, bounds: Bounds) -> Result<AtSlo> {
    // A closed loop has at least one session.
    let least = setup.source.concurrency().map_or(bounds.least, |n| 1.0 / f64::from(n));
    let bounds = Bounds { least: bounds.least.max(least), ..bounds };
    let whole_run = RunOptions::default();
    let hasty = RunOptions { give_up: true, ..RunOptions::default() };
    let prepared = setup.source.prepare(&scope(setup));
    let (found, run) = search(bounds, |load, whole| {
        let options = if whole { &whole_run } else { &hasty };
        match play(setup, options, &prepared, load) {
            Ok(run) => Ok(Some(run)),
            Err(error) if error.is::<GivenUp>() => Ok(None),
            Err(error) => Err(error),
        }
    })?;
    Ok(AtSlo { found, run })
}

/// The found load with other room for KV. Empty: there is none, or the room is unlimited.
pub fn around(setup: &Setup, found: &AtSlo) -> Result<Vec<AtRoom>> {
    let Some(run) = &found.run else { return Ok(Vec::new()) };
    let options = RunOptions::default();
    kv_room::around(setup, run, |other| {
        play(other, &options, &other.source.prepare(&scope(other)), run.rate_scale)
    })
}

fn play(
    setup: &Setup,
    options: &RunOptions,
    prepared: &Prepared<'_>,
    load: f64,
) -> Result<RunReport> {
    let policy = &setup.policies[0];
    let cell = Cell { policy, rate_scale: load, seed: setup.seed, limit: None, options };
    let Some(own) = setup.source.concurrency() else {
        let own = prepared.workload(cell.pace(setup)).total().max(1) as f64;
        let longest = (MOST_REQUESTS / own).clamp(1.0, LONGEST);
        let prepared = prepared.stretched(load.clamp(1.0, longest));
        return simulate(setup, &prepared, cell, None, &mut |_| ());
    };
    let mut setup = setup.clone();
    setup.source.set_concurrency((f64::from(own) * load).round().max(1.0) as u32);
    let prepared = setup.source.prepare(&scope(&setup));
    let once = Cell { rate_scale: 1.0, ..cell };
    let run = simulate(&setup, &prepared, once, None, &mut |_| ())?;
    Ok(RunReport { rate_scale: load, ..run })
}

/// The result of a search for the highest load within the SLO.
#[derive(Debug)]
pub struct AtSlo {
    pub found: Found,
    /// None: no load meets the SLO.
    pub run: Option<RunReport>,
}

impl AtSlo {
    /// The found load, as a multiple of the workload's own.
    pub fn load(&self) -> Option<f64> {
        self.run.as_ref().map(|run| run.rate_scale)
    }

    pub fn throughput(&self, chips: u32) -> Option<Throughput> {
        self.run.as_ref().map(|run| Throughput::of(run, chips))
    }

    /// USD per million tokens served, and per million output tokens, during the steady part of the
    /// arrivals. None: a price is unknown, or no load is within the SLO.
    pub fn usd_per_m(&self) -> Option<[f64; 2]> {
        let run = self.run.as_ref()?;
        let usd_per_s = self.economics()?.total.usd / run.figures.duration_s;
        let each = Throughput::of(run, 1);
        let usd = [each.served, each.output].map(|tokens| usd_per_s * 1e6 / tokens);
        Some(usd).filter(|usd| usd.iter().all(|usd| usd.is_finite()))
    }

    pub fn economics(&self) -> Option<&Economics> {
        self.run.as_ref()?.economics.as_ref()
    }
}

/// Tokens served per chip and second.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Throughput {
    pub requests_per_s: f64,
    /// Prompts, computed or reused, and answers: effective throughput.
    pub served: f64,
    pub prompt_computed: f64,
    pub prompt_reused: f64,
    pub output: f64,
}

impl Throughput {
    /// `chips`: of the whole fleet.
    pub fn of(run: &RunReport, chips: u32) -> Self {
        let figures = &run.figures;
        let requests_per_s = run.steady_requests_per_s;
        let seconds = figures.requests as f64 / requests_per_s;
        let each = |tokens: u64| tokens as f64 / seconds / f64::from(chips.max(1));
        let served = Served::of_figures(figures);
        Self {
            requests_per_s,
            served: each(served.all()),
            prompt_computed: each(served.prompt_computed),
            prompt_reused: each(served.prompt_reused),
            output: each(served.output),
        }
    }
}

/// Chips of all workers. A worker of a made-up profile counts as one.
pub fn chips(setup: &Setup) -> u32 {
    setup.fleet.groups().iter().map(|group| group.workers * chips_each(&group.profile)).sum()
}

pub fn chips_each(profile: &warmpath_core::engine::profile::Profile) -> u32 {
    profile.hardware().map_or(1, |hardware| hardware.chips)
}
