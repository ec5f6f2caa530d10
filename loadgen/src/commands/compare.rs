//! `loadgen compare`: each policy on a live fleet, then the same requests in virtual time, then the
//! whole workload in virtual time. With `--target`: routers that run elsewhere, before one fleet.

use super::finish;
use super::fresh::fresh_nonce;
use crate::args::values::{parse_speedup, parse_whole};
use crate::args::{TargetArgs, What};
use crate::figures::Results;
use crate::files::bad;
use crate::play::behind::Behind;
use crate::play::live::LiveLeg;
use crate::play::targets::{TargetLeg, reach};
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
quieter machine.

Routers that run elsewhere, of any make, before eight workers (docs/routers.md):
  loadgen compare --target ours=grpc://127.0.0.1:7000 --target vllm-router=http://127.0.0.1:30000 \\
    --worker-http http://127.0.0.1:8001 .. --workload chat --policies kv-aware --live-requests 500")]
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
    #[command(flatten)]
    pub routers: TargetArgs,
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let elsewhere = args.routers.are_given()?;
    finish::each_variant(&args.what, screen, |setup, options| match elsewhere {
        false => compare(args, setup, options, progress),
        true => compare_targets(args, setup, options, progress),
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

/// Plays the same requests at each router that runs elsewhere, then under each policy in virtual time.
fn compare_targets(
    args: &Args,
    setup: &Setup,
    options: &RunOptions,
    progress: &Progress,
) -> Result<Results> {
    let routers = &args.routers;
    check_targets(args, setup, options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let behind = runtime.block_on(Behind::look(&routers.worker_http))?;
    check_alike(args, setup, &behind)?;
    for router in &routers.targets {
        runtime.block_on(reach(router, &behind))?;
    }
    let prepared = setup.source.prepare(&scope(setup));
    let pace = Cell::first(setup, &setup.baseline, None, options).pace(setup);
    let total = prepared.workload(pace).total();
    let within = || prepared.arrivals_within(LIVE_SECONDS * behind.facts.speedup, pace);
    let asked = args.live_requests.or(setup.live.requests);
    let requests = asked.or_else(|| within().map(|n| n.max(1))).unwrap_or(total).min(total);
    room::check(setup, options, 0, requests)?;
    let nonce = fresh_nonce();
    let mut runs = Vec::new();
    for router in &routers.targets {
        let bar = progress.start(requests, &format!("{} live", router.name), "requests");
        let behind = &behind;
        let leg =
            TargetLeg { setup, prepared: &prepared, options, behind, router, requests, nonce };
        runs.push(runtime.block_on(leg.run(move |ended| bar.set(ended)))?);
    }
    for policy in &setup.policies {
        let cell = Cell::first(setup, policy, Some(requests), options);
        let bar = progress.start(requests, &format!("{} sim-slice", policy.label), "requests");
        runs.push(simulate(setup, &prepared, cell, None, &mut |n| bar.set(n))?);
    }
    let mut results = of_runs(runs, setup, &prepared, options, progress)?;
    results.notes.push(format!(
        "Each router had the same {requests} requests at speedup {}, with nonce {nonce} in their texts, and began \
         with empty caches.",
        behind.facts.speedup
    ));
    Ok(results)
}

/// Checks flags that running routers do not go with.
fn check_targets(args: &Args, setup: &Setup, options: &RunOptions) -> Result<()> {
    let reasons = [
        (setup.is_grid(), "several seeds or rates, expected one of each"),
        (options.variant.is_some(), "the scenario has variants, expected one without"),
        (setup.source.tenants().count() > 1, "several tenants, expected requests of one"),
        (args.record.is_some(), "--record is for routers in this process"),
        (args.live_requests == Some(0), "--live-requests 0 sends nothing"),
        (setup.capacity, "--capacity is for simulations"),
    ];
    let found = reasons.into_iter().find_map(|(holds, why)| holds.then_some(why));
    match found.or_else(|| only_virtual(setup)) {
        Some(why) => Err(bad(format!("--target: {why}"))),
        None => Ok(()),
    }
}

/// Checks that the simulated fleet is the one behind the routers, as far as the workers say.
fn check_alike(args: &Args, setup: &Setup, behind: &Behind) -> Result<()> {
    let facts = &behind.facts;
    let profile = setup.fleet.profile();
    let given = args.routers.worker_http.len();
    let workers = setup.fleet.workers() as usize;
    if workers != given {
        let why = format!("{given} workers, but the simulated fleet has {workers}");
        return Err(bad(format!("--worker-http: {why}, expected --workers {given}")));
    }
    let (own, theirs) = (profile.block_size, facts.block_size);
    if own != theirs {
        let why = format!("blocks of {theirs} tokens, but the simulated fleet has {own}");
        return Err(bad(format!("--worker-http: {why}, expected --block-size {theirs}")));
    }
    let of = |blocks: Option<u64>| match blocks {
        Some(blocks) => (blocks * u64::from(theirs)).to_string(),
        None => "unlimited".to_owned(),
    };
    let (own, theirs) = (of(profile.hbm_blocks()), of(facts.blocks));
    if own != theirs {
        let why = format!("room for {theirs} tokens, but the simulated fleet has {own}");
        return Err(bad(format!("--worker-http: {why}, expected --hbm-tokens {theirs}")));
    }
    match args.speedup {
        Some(given) if given != facts.speedup => {
            let own = facts.speedup;
            let why = format!("{given}, but the workers run at {own}, expected {own} or no flag");
            Err(bad(format!("--speedup: {why}")))
        }
        _ => Ok(()),
    }
}

/// Why a set-up has no live leg. None: it may have one.
fn only_virtual(setup: &Setup) -> Option<&'static str> {
    let reasons = [
        (setup.devices.is_some(), "devices run in virtual time only"),
        (!setup.faults.is_empty(), "faults happen in virtual time only"),
        (!setup.routers.is_one(), "several routers are played in virtual time only"),
        (setup.routers.speed_error > 0.0, "an error of speed is played in virtual time only"),
        (setup.network.event_delay_ms > 0.0, "events are late in virtual time only"),
    ];
    reasons.into_iter().find_map(|(holds, why)| holds.then_some(why))
}
