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
use measured::{Measured, measured};
use ratios::{Ratio, ratios};
use serde::Serialize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use sweep::Point;
use warmpath_sheet::{Sheet, render};

const SCHEMA: &str = "warmpath.sharing.v1";

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    config: &'a Setup,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rungs: Vec<Measured>,
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
}

pub fn run(asked: &Params<'_>, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let setup = question::resolve(asked.question)?;
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
    let bar = progress.start(rungs.len() as u64, "sharing", "rungs");
    let ended = AtomicU64::new(0);
    let measured = parallel::map(&rungs, |rung| {
        let measured = measured(rung);
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        measured
    });
    drop(bar);
    let measured = measured.into_iter().collect::<Result<Vec<_>>>()?;
    let ratios = ratios(&measured);
    screen.show_with(&ladder_sheet::page(&setup, &measured, &ratios), |document| {
        plots::add_ladder(document, &setup, &measured, &ratios);
    })?;
    let csv = render::csv(&ladder_sheet::data(&measured));
    write(files, &csv, &Report { rungs: measured, ratios, ..Report::of(&setup) })
}

/// Every table without rows, with all the columns that it can have.
pub fn blanks() -> Vec<Sheet> {
    vec![ladder_sheet::blank(), sweep_sheet::blank()]
}

impl<'a> Report<'a> {
    const fn of(config: &'a Setup) -> Self {
        Self { schema: SCHEMA, config, rungs: Vec::new(), ratios: Vec::new(), sweep: Vec::new() }
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
