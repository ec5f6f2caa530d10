//! `loadgen sweep`: policies at many points of a scenario.

use super::finish::{self, About};
use crate::args::{Axis, AxisArg, PartArg, What, parse_time};
use crate::files::bad;
use crate::play::Progress;
use crate::report::{OutputFiles, OutputPaths, Screen, print};
use crate::setup::Setup;
use crate::studies::sweep::{self, Question};
use anyhow::Result;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Plays policies in virtual time at many points of a scenario: fleets of several sizes, memories, delays
///
/// Each --axis varies one thing; several make all combinations. Policies, rates and seeds are those of `sim`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// What varies, and its values, separated by commas: workers=8,64,512. Repeat the flag for more axes
    #[arg(long = "axis", value_name = "NAME=V,V,...", required = true)]
    axes: Vec<AxisArg>,
    /// The length of each phase of the axis step: 500ms, 60s or 5m of model time
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    step_phase: f64,
    /// Keeps each finished run in this folder. The same command goes on where it was cut off
    #[arg(long, value_name = "DIR")]
    cells: Option<PathBuf>,
    /// Plays every N-th run only, from run K; K counts from 0. For N processes with one --cells folder, such as an
    /// indexed job of Kubernetes. The tables are printed once all runs are there
    #[arg(long, value_name = "K/N", requires = "cells")]
    part: Option<PartArg>,
    #[command(flatten)]
    what: What,
}

fn after_help() -> String {
    format!(
        "Axes:\n{}\n\n\
        Examples, fleets of several sizes, then late events in a larger fleet with five seeds:\n  \
        loadgen sweep --axis workers=8,64,512 --policies kv-aware,warmpath --cells fleets\n  \
        loadgen sweep --axis event-delay=0,100,1000 --workers 32 --seeds 5 --html delay.html",
        Axis::list()
    )
}

/// What the report's configuration has beside the scenario.
#[derive(Serialize)]
struct Config<'a> {
    axes: Vec<String>,
    step_phase_s: f64,
    #[serde(flatten)]
    setup: &'a Setup,
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let what = &args.what;
    what.refuse_outputs_of_runs("not for sweep, which compares rates; sim has it")?;
    let setup = Setup::resolve(what)?;
    if !setup.variants.is_empty() {
        let why = "has [[variant]] tables, expected one without: the axes make the variants";
        return Err(bad(format!("--scenario: {} {why}", setup.scenario)));
    }
    let paths = OutputPaths::of(what.json.as_deref(), what.csv.as_deref());
    let files = OutputFiles::at(paths, screen)?;
    let question = Question {
        axes: &args.axes,
        phase_s: args.step_phase,
        folder: args.cells.as_deref(),
        part: args.part,
    };
    let swept = sweep::sweep(&question, &setup, progress)?;
    if swept.missing > 0 {
        let (there, all) = (swept.cells - swept.missing, swept.cells);
        print(&format!(
            "Played {} runs; {there} of {all} are in the folder. Tables are printed once all are there.\n",
            swept.played
        ))?;
        screen.leave_html();
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config {
        axes: args.axes.iter().map(AxisArg::to_string).collect(),
        step_phase_s: args.step_phase,
        setup: &setup,
    };
    let about = About::of(&setup);
    let title = format!("Sweep of {}: {}", config.axes.join(" "), about.title);
    let about = About { title, ..about };
    finish::finish_with(config, swept.results, &about, files, screen, |document, results| {
        sweep::add(document, &about.title, &setup.slo, &args.axes, &swept.values, results);
    })
}
