//! `loadgen sim`: each policy in virtual time.

use super::finish;
use crate::args::{CourseArgs, What, parse_time};
use crate::figures::Results;
use crate::files::bad;
use crate::play::{Cell, Progress, RunOptions, of_grid, of_runs, room, scope, simulate};
use crate::report::Screen;
use crate::setup::Setup;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs each policy in virtual time and prints one table
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, two policies at three arrival rates with five seeds:
  loadgen sim --workload chat --policies round-robin,warmpath --rates 0.5,1,2 --seeds 5

Without flags it plays the workload assistant on 16 workers.")]
pub struct Args {
    #[command(flatten)]
    pub what: What,
    #[command(flatten)]
    pub course: CourseArgs,
    /// Adds a row to the report for each interval of this length, such as 10s or 1m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub interval: Option<f64>,
    /// Writes the record of each simulated router to DIR/LABEL.jsonl, for `loadgen replay`
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    args.course.check_interval(args.interval)?;
    finish::each_variant(&args.what, screen, |setup, options| {
        let options = RunOptions { interval: args.interval, ..options.clone() };
        all(args, setup, &options, progress)
    })
}

/// Plays the whole workload under each policy, or a grid of rates and seeds.
fn all(args: &Args, setup: &Setup, options: &RunOptions, progress: &Progress) -> Result<Results> {
    if args.course.is_given() && setup.rates.len() > 1 {
        return Err(bad("--stages, --duration: given with several --rates, expected one rate"));
    }
    let course = setup.source.course(&args.course, setup.rates[0])?;
    let prepared = setup.source.prepare(&scope(setup)).in_course(course.as_ref());
    if setup.is_grid() && args.record.is_some() {
        return Err(bad("--record: writes one record per policy, expected one seed and one rate"));
    }
    let pace = Cell::first(setup, &setup.baseline, None, options).pace(setup);
    let total = prepared.workload(pace).total();
    room::check(setup, options, total, 0)?;
    if setup.is_grid() {
        return of_grid(setup, &prepared, options, progress);
    }
    let mut runs = Vec::new();
    for policy in &setup.policies {
        let cell = Cell::first(setup, policy, None, options);
        let bar = progress.start(total, &format!("{} sim", policy.label), "requests");
        let record = args.record.as_deref();
        runs.push(simulate(setup, &prepared, cell, record, &mut |n| bar.set(n))?);
    }
    of_runs(runs, setup, &prepared, options, progress)
}
