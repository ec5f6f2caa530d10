//! `loadgen compare`: each policy on a live fleet, then the same requests in virtual time, then the
//! whole workload in virtual time.

use super::finish;
use crate::args::What;
use crate::args::values::{parse_speedup, parse_whole};
use crate::figures::Results;
use crate::files::bad;
use crate::play::live::LiveLeg;
use crate::play::{Cell, Progress, RunOptions, judge, of_grid, of_runs, room, scope, simulate};
use crate::report::Screen;
use crate::setup::Setup;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Wall seconds of a trace that the live leg plays by default.
const LIVE_SECONDS: f64 = 8.0;

/// Runs each policy on a live gRPC fleet in this process and in virtual time, and prints one table
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, with 200 live requests for each policy:
  loadgen compare --workload chat --policies round-robin,warmpath --live-requests 200

The table has three modes: live (real sockets), sim-slice (the same requests in virtual time), sim
(the whole workload in virtual time). A live row is valid if its mean TTFT is within 10 % of its
sim-slice and its hit rate within 2 points, no process was late for more than 5 % of the TTFT, and
both order the policies alike. Else it has a ! and a line below says why: lower --speedup, or use a
quieter machine.")]
pub struct Args {
    #[command(flatten)]
    pub what: What,
    /// Number of live requests for each policy; 0: no live run [default: the scenario's; for a
    /// trace without a scenario that says it, those of the first 8 wall seconds; 0 with several seeds
    /// or rates]
    #[arg(long, value_name = "N", value_parser = parse_whole::<u64>)]
    pub live_requests: Option<u64>,
    /// Model seconds per wall second in live runs, 0.001 to 10000 [default: the scenario's]
    #[arg(long, value_name = "X", value_parser = parse_speedup)]
    pub speedup: Option<f64>,
    /// Writes the record of each live router to DIR/LABEL.jsonl, for `loadgen replay`
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    finish::each_variant(&args.what, screen, |setup, options| {
        compare(args, setup, options, progress)
    })
}

/// Plays each policy live, then the same requests in virtual time, then the whole workload.
fn compare(
    args: &Args,
    setup: &Setup,
    options: &RunOptions,
    progress: &Progress,
) -> Result<Results> {
    let prepared = setup.source.prepare(&scope(setup));
    let beyond_sockets = only_virtual(setup);
    if let Some(why) = beyond_sockets
        && args.live_requests.is_some_and(|live| live > 0)
    {
        return Err(bad(format!("--live-requests: {why}")));
    }
    let only_virtual = setup.is_grid() || beyond_sockets.is_some();
    let no_live = args.live_requests == Some(0) || only_virtual && args.live_requests.is_none();
    for (flag, given) in
        [("--record", args.record.is_some()), ("--speedup", args.speedup.is_some())]
    {
        if given && no_live {
            return Err(bad(format!(
                "{flag}: there is no live leg, expected --live-requests above 0"
            )));
        }
    }
    let pace = Cell::first(setup, &setup.baseline, None, options).pace(setup);
    let total = prepared.workload(pace).total();
    if setup.is_grid() && args.live_requests.is_none() {
        room::check(setup, options, total, 0)?;
        return of_grid(setup, &prepared, options, progress);
    }
    let speedup = args.speedup.unwrap_or(setup.live.speedup);
    let live = args
        .live_requests
        .or(setup.live.requests)
        .or_else(|| prepared.arrivals_within(LIVE_SECONDS * speedup, pace).map(|n| n.max(1)));
    let live = if no_live { 0 } else { live.unwrap_or(total).min(total) };
    room::check(setup, options, total, live)?;
    if let Some(folder) = &args.record {
        std::fs::create_dir_all(folder)
            .map_err(|error| bad(format!("{}: {error}", folder.display())))?;
    }
    let mut runs = Vec::new();
    if live > 0 {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        for policy in &setup.policies {
            let leg =
                LiveLeg { setup, prepared: &prepared, options, policy, speedup, requests: live };
            let bar = progress.start(live, &format!("{} live", policy.label), "requests");
            let record = args.record.as_deref();
            let run = runtime.block_on(leg.run(record, move |ended| bar.set(ended)));
            runs.push(run.with_context(|| format!("{}, live", policy.label))?);
        }
    }
    if live > 0 {
        for policy in &setup.policies {
            let cell = Cell::first(setup, policy, Some(live), options);
            let bar = progress.start(live, &format!("{} sim-slice", policy.label), "requests");
            runs.push(simulate(setup, &prepared, cell, None, &mut |n| bar.set(n))?);
        }
        judge(&mut runs);
    }
    if setup.is_grid() {
        let grid = of_grid(setup, &prepared, options, progress)?;
        return Ok(grid.with_live(runs));
    }
    for policy in &setup.policies {
        let cell = Cell::first(setup, policy, None, options);
        let bar = progress.start(total, &format!("{} sim", policy.label), "requests");
        runs.push(simulate(setup, &prepared, cell, None, &mut |n| bar.set(n))?);
    }
    of_runs(runs, setup, &prepared, options, progress)
}

/// Why a set-up has no live leg. None: it may have one.
fn only_virtual(setup: &Setup) -> Option<&'static str> {
    let reasons = [
        (setup.devices.is_some(), "devices run in virtual time only"),
        (!setup.faults.is_empty(), "faults happen in virtual time only"),
        (!setup.routers.is_one(), "several routers are played in virtual time only"),
    ];
    reasons.into_iter().find_map(|(holds, why)| holds.then_some(why))
}
