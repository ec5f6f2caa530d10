//! `loadgen run`: sends requests to a router that is already running.

use super::finish::{self, About};
use super::fresh::fresh_nonce;
use crate::args::values::{parse_count, parse_scale, parse_speedup, parse_whole};
use crate::args::{CourseArgs, TraceArgs, parse_time};
use crate::figures::{
    CourseFigures, Mode, Profiles, Results, RunId, RunReport, Sketch, Slowest, Stages,
};
use crate::files::{PendingFile, bad, check_target, check_url};
use crate::play::drive::{self, Options};
use crate::play::identities::Identities;
use crate::play::interrupt::interrupted;
use crate::play::marks::Marks;
use crate::play::target::{Target, targets_of};
use crate::play::validity::{Late, REMEDY, too_few, too_late};
use crate::play::{Address, Progress, room};
use crate::report::{self, OutputFiles, OutputPaths, Screen};
use crate::setup::Source;
use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use warmpath_core::block::ScopePlan;
use warmpath_core::report::{Figures, Slo};
use warmpath_core::sharing::{Scopes, SharingRule};
use warmpath_core::workload::trace::Pace;

/// Sends a workload or a trace to a running router and reports what came back
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, 500 requests at twice the workload's rate:
  loadgen run --target http://127.0.0.1:50051 --workload chat --rate-scale 2 --requests 500")]
pub struct Args {
    /// Address of the router: http://HOST:PORT; repeat the flag for several routers before one fleet,
    /// which get the requests in turn
    #[arg(long = "target", value_name = "URL", required = true)]
    pub targets: Vec<String>,
    #[command(flatten)]
    pub what: RunWhat,
}

/// What to send. The router has its own fleet and policy.
#[derive(Debug, clap::Args)]
pub struct RunWhat {
    #[command(flatten)]
    pub trace: Option<TraceArgs>,
    /// Workload: a name, or a workload file (TOML)
    #[arg(long, value_name = "NAME", default_value = "assistant")]
    pub workload: String,
    /// TOML file of the tenants to send requests for. Each has a table [[tenants]] with its name
    /// and token, token_file or token_env, as in the router's file. Sessions are assigned at random
    #[arg(long, value_name = "FILE")]
    pub tenants_file: Option<PathBuf>,
    /// Sends only the first N requests [default: the whole workload]
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU64>)]
    pub requests: Option<NonZeroU64>,
    /// Multiplies the workload's arrival rate. Not for a closed loop, which has none
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_scale)]
    pub rate_scale: f64,
    #[command(flatten)]
    pub course: CourseArgs,
    /// Adds a row to the report for each interval of this length in model time, such as 10s or 1m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub interval: Option<f64>,
    /// Address of the router's admin listener, http://HOST:PORT: the report then says when workers
    /// joined, drained or left, and when the policy changed
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// Writes the rows of phases and intervals to FILE: Parquet if its name ends in .parquet, else CSV
    #[arg(long, value_name = "FILE")]
    pub series: Option<PathBuf>,
    /// Spreads the requests of one trace timestamp over the time until the next timestamp
    #[arg(long)]
    pub tick_jitter: bool,
    /// Model seconds per wall second, 0.001 to 10000 [default: what the router reports; 1 for real
    /// engines, which report none]
    #[arg(long, value_name = "X", value_parser = parse_speedup)]
    pub speedup: Option<f64>,
    /// Counts an answer as failed unless it is the token stream of warmpath's simulated workers
    #[arg(long)]
    pub check_tokens: bool,
    /// Seed for everything that is random
    #[arg(long, value_name = "N", value_parser = parse_whole::<u64>, default_value_t = 1)]
    pub seed: u64,
    /// Number that is mixed into every text, so that no cache holds texts of earlier runs. The same
    /// number sends the same texts again [default: a new number, which is printed]
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32>)]
    pub nonce: Option<u32>,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes one row per request as Parquet
    #[arg(long, value_name = "FILE")]
    pub parquet: Option<PathBuf>,
    /// Writes llm-d's benchmark report v0.2 as YAML
    #[arg(long, value_name = "FILE")]
    pub benchmark_report: Option<PathBuf>,
}

const REQUEST_LIMIT: Duration = Duration::from_secs(600);
/// Requests with a TTFT and TPOT up to this count as good.
pub const SLO: Slo = Slo { ttft_s: 2.0, tpot_s: 0.1 };

/// The configuration of a run, for its report.
#[derive(Debug, Serialize)]
pub struct RunConfig {
    pub target: String,
    pub source: Source,
    pub rate_scale: f64,
    pub tick_jitter: bool,
    pub speedup: f64,
    pub seed: u64,
    pub nonce: u32,
    pub slo: Slo,
    /// As the target reports it.
    pub block_size: u32,
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let what = &args.what;
    let paths = OutputPaths {
        json: what.json.as_deref(),
        parquet: what.parquet.as_deref(),
        benchmark_report: what.benchmark_report.as_deref(),
        csv: None,
    };
    let files = OutputFiles::at(paths, screen)?;
    let series =
        what.series.as_deref().map(|path| PendingFile::create(path).map(|file| (file, path)));
    let series = series.transpose()?;
    let (config, run) = drive_target(args, progress, screen)?;
    if let (Some((file, path)), Some(course)) = (series, &run.course) {
        report::write_series(file, path, &report::series_of(course))?;
    }
    let notes = notes(&config, &run);
    let results = Results { runs: vec![run], notes, ..Results::default() };
    let about = About {
        title: format!(
            "{}, seed {}, nonce {}, against {} at speedup {}",
            config.source.name(),
            config.seed,
            config.nonce,
            config.target,
            config.speedup
        ),
        slo: SLO,
        baseline: None,
        concurrency: config.source.concurrency(),
    };
    finish::finish(config, results, &about, files, screen)
}

fn drive_target(
    args: &Args,
    progress: &Progress,
    screen: Screen<'_>,
) -> Result<(RunConfig, RunReport)> {
    let what = &args.what;
    for target in &args.targets {
        check_target(target)?;
    }
    let all_targets = args.targets.join(", ");
    let identities = match &what.tenants_file {
        Some(path) => Identities::read(path)?,
        None => Identities::default(),
    };
    let mut source = match &what.trace {
        Some(path) => Source::trace(path)?,
        None => Source::workload(&what.workload, Path::new(""))?,
    };
    match (identities.count(), source.tenants().count()) {
        (0, 1) => {}
        (0, tenants) => {
            let why = format!("{} has {tenants} tenants", source.name());
            return Err(bad(format!("--tenants-file: missing, expected one: {why}")));
        }
        (identities, _) => source.set_tenants(identities as u32),
    }
    check_course(what)?;
    if what.tick_jitter {
        source.check_tick_jitter()?;
    }
    if what.rate_scale != 1.0 {
        source.check_rate("--rate-scale")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let asking = targets_of(&args.targets, &identities);
    let Target { block_size, speedup } = runtime.block_on(asking)?;
    let speedup = match (what.speedup, speedup) {
        (Some(given), Some(own)) if given != own => {
            let why = format!("{given}, but the workers behind {all_targets} run at {own}");
            return Err(bad(format!("--speedup: {why}, expected {own} or no flag")));
        }
        (given, own) => given.or(own).unwrap_or(1.0),
    };
    let nonce = what.nonce.unwrap_or_else(fresh_nonce);
    // The target decides who shares KV cache. The load generator decides which tenant owns a session.
    let operator = ScopePlan::new("", "run", "", block_size);
    let course = source.course(&what.course, what.rate_scale)?;
    let scopes = Scopes::new(&operator, SharingRule::default(), source.tenants());
    let prepared = source.prepare(&scopes).in_course(course.as_ref());
    let pace = Pace {
        rate_scale: what.rate_scale,
        tick_jitter: what.tick_jitter,
        seed: what.seed,
        limit: what.requests.map(NonZeroU64::get),
    };
    let workload = prepared.workload(pace);
    let total = workload.total();
    let bar = match &course {
        None => progress.start(total, "live", "requests"),
        Some(course) => progress.start(course.seconds().ceil() as u64, "live", "model seconds"),
    };
    let sketched = screen.draws() || what.benchmark_report.is_some();
    let options = Options {
        speedup,
        check_tokens: what.check_tokens,
        timeout: REQUEST_LIMIT,
        nonce: Some(nonce),
        rows: what.parquet.is_some() || sketched,
    };
    if what.parquet.is_some() && course.is_none() {
        room::check_count(total)?;
    }
    let started = Instant::now();
    let marks = match &what.admin {
        Some(admin) => Some(runtime.block_on(Marks::begin(admin))?),
        None => None,
    };
    let by_time = course.is_some();
    let progress = move |ended| match by_time {
        true => bar.set((started.elapsed().as_secs_f64() * speedup) as u64),
        false => bar.set(ended),
    };
    let targets: Vec<Address> = args.targets.iter().cloned().map(Address::Grpc).collect();
    let drive = drive::drive(&targets, workload, options, identities, interrupted(), progress);
    let mut driven = runtime.block_on(drive)?;
    let rows = driven.recorder.take_rows();
    let mut by_course =
        CourseFigures::of(course.as_ref(), what.interval, &driven.recorder, block_size, &SLO);
    if let (Some(course), Some(marks)) = (&mut by_course, marks) {
        course.marks = Some(runtime.block_on(marks.end(driven.began, speedup))?);
    }
    let mut stages = None;
    if let Some(plan) = source.stages(what.rate_scale) {
        let (all, counted) = Stages::of(plan, &driven.recorder, block_size, None, &SLO);
        (stages, driven.recorder) = (Some(all), counted);
    }
    let figures = driven.recorder.figures(block_size, None, &SLO);
    let late = Late::of(&driven.live, speedup);
    // What is late is in the TTFT, so that the TTFT without it is the measure.
    let prompt_s = figures.ttft_s.map_or(0.0, |ttft| ttft.mean - late.total());
    let late = || {
        let why = too_late(&late, prompt_s, "the mean TTFT without that")?;
        Some(format!("{why}: {REMEDY}"))
    };
    let cut = driven.live.interrupted.then(|| {
        let Figures { offered, requests, .. } = figures;
        format!("interrupted: {offered} of {total} requests were sent, {requests} answered")
    });
    let invalid_because = cut.or_else(|| too_few(&figures)).or_else(late);
    let id = RunId {
        policy: None,
        variant: None,
        mode: Mode::Live,
        workload: prepared.name(),
        seed: what.seed,
        rate_scale: what.rate_scale,
    };
    // The profiles are those of the target's engines, which it does not report.
    let profiles = Profiles { tiers: driven.live.tier_names.clone(), ..Profiles::default() };
    let report = RunReport::new(id, profiles, figures, started.elapsed().as_secs_f64());
    let sketch = sketched.then(|| Sketch::of_run(&rows, stages.as_ref(), None, &HashMap::new()));
    let rows = if what.parquet.is_some() { rows } else { Vec::new() };
    let report = report.with_live(driven.live, speedup, rows, invalid_because);
    let report = RunReport { nonce: Some(nonce), stages, course: by_course, sketch, ..report };
    let config = RunConfig {
        target: all_targets,
        source,
        rate_scale: what.rate_scale,
        tick_jitter: what.tick_jitter,
        speedup,
        seed: what.seed,
        nonce,
        slo: SLO,
        block_size,
    };
    Ok((config, report))
}

/// Checks the flags that say how the run goes on with time.
fn check_course(what: &RunWhat) -> Result<()> {
    let course = &what.course;
    if !course.is_given() && what.interval.is_none() {
        for (flag, is_given) in
            [("--series", what.series.is_some()), ("--admin", what.admin.is_some())]
        {
            if is_given {
                let why = "nothing to show it in, expected --stages, --duration or --interval too";
                return Err(bad(format!("{flag}: {why}")));
            }
        }
    }
    if let Some(admin) = &what.admin {
        check_url("--admin", admin)?;
    }
    course.check_interval(what.interval)
}

/// What a reader must know about the figures.
pub fn notes(config: &RunConfig, run: &RunReport) -> Vec<String> {
    let nonce = config.nonce;
    let mut notes = vec![format!(
        "Every text contains nonce {nonce}, so no cache holds it from a run with another nonce; \
         --nonce {nonce} sends the same texts again."
    )];
    notes.extend(config.source.note());
    if run.course.is_some() {
        if config.speedup != 1.0 {
            notes.push(format!(
                "Times of phases and intervals are model time: {} s of it are a second of the clock.",
                config.speedup
            ));
        }
        if run.course.as_ref().is_some_and(|course| course.marks.is_none()) {
            let why = "--admin with the router's admin listener adds what happened in the fleet.";
            notes.push(why.to_owned());
        }
    }
    if let Some(slowest) = run.live.as_ref().and_then(|live| live.slowest.as_ref()) {
        let Slowest { request_id, ttft_s } = slowest;
        notes.push(format!(
            "Slowest TTFT: {request_id}, {ttft_s:.3} s; `loadgen explain` prints why its worker was \
             chosen, while the router remembers it."
        ));
    }
    notes
}
