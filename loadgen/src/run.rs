//! `run`: drives a router that already runs, whatever stands behind it.

use crate::cli;
use crate::compare::{too_few, too_late};
use crate::drive::{self, Options};
use crate::files::{bad, check_target};
use crate::identities::Identities;
use crate::progress::Progress;
use crate::results::{Mode, RunReport, Slowest};
use crate::rows;
use crate::source::Source;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::signal::unix::{self, SignalKind};
use warmpath_core::block::ScopePlan;
use warmpath_core::id::TenantId;
use warmpath_core::report::{Figures, Slo};
use warmpath_core::sharing::{Scopes, Sharing};
use warmpath_core::workload::trace::Pace;
use warmpath_proto::control::SPEEDUP;
use warmpath_proto::vllm::GetServerInfoRequest;
use warmpath_proto::vllm::control_client::ControlClient;

const REQUEST_LIMIT: Duration = Duration::from_secs(600);
/// How long a target may take to come up.
const START_LIMIT: Duration = Duration::from_secs(5);
/// As shells have it: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;
/// Requests whose TTFT and TPOT stay within this count as good.
pub const SLO: Slo = Slo { ttft_s: 2.0, tpot_s: 0.1 };

/// What the JSON says of how it came about.
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
    /// As the target says.
    pub block_size: u32,
}

pub fn run(args: &cli::Run, progress: &Progress) -> Result<(RunConfig, RunReport)> {
    let what = &args.what;
    check_target(&args.target)?;
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
    if what.tick_jitter {
        source.check_tick_jitter()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let Fleet { block_size, speedup } = runtime.block_on(fleet_of(&args.target, &identities))?;
    let speedup = match (what.speedup, speedup) {
        (Some(given), Some(own)) if given != own => {
            let why = format!("{given}, but what is behind {} runs at {own}", args.target);
            return Err(bad(format!("--speedup: {why}; leave the flag out to follow it")));
        }
        (given, own) => given.or(own).unwrap_or(1.0),
    };
    let nonce = what.nonce.unwrap_or_else(fresh_nonce);
    // Who shares with whom is the target's business; whose each session is, is ours.
    let operator = ScopePlan::new("", "run", "", block_size);
    let prepared = source.prepare(&Scopes::new(&operator, Sharing::default(), source.tenants()));
    let pace = Pace {
        rate_scale: what.rate_scale,
        tick_jitter: what.tick_jitter,
        seed: what.seed,
        limit: what.requests.map(NonZeroU64::get),
    };
    let workload = prepared.workload(pace);
    let total = workload.total();
    let bar = progress.start(total, "live", "requests");
    let options = Options {
        speedup,
        check_tokens: what.check_tokens,
        timeout: REQUEST_LIMIT,
        nonce: Some(nonce),
        rows: what.parquet.is_some(),
    };
    if options.rows {
        rows::check_count(total)?;
    }
    let started = Instant::now();
    let progress = move |ended| bar.set(ended);
    let drive = drive::drive(&args.target, workload, options, identities, interrupted(), progress);
    let mut driven = runtime.block_on(drive)?;
    let figures = driven.recorder.figures(block_size, None, &SLO);
    let lateness = driven.live.send_lateness_s.mean * speedup;
    let cut = driven.live.interrupted.then(|| {
        let Figures { offered, requests, .. } = figures;
        format!("interrupted: {offered} of {total} requests were sent, {requests} answered")
    });
    let invalid_because =
        cut.or_else(|| too_late(lateness, figures.ttft_s.mean)).or_else(|| too_few(&figures));
    let report = RunReport {
        policy: None,
        variant: None,
        mode: Mode::Live,
        workload: prepared.name(),
        profile: None,
        profile_validated: false,
        tiers: driven.live.tier_names.clone(),
        profile_standing: None,
        profile_hbm_tokens_computed: None,
        groups: Vec::new(),
        figures,
        router_overhead_s: driven.live.router_overhead_s,
        speedup: Some(speedup),
        engine: None,
        devices: None,
        classes: Vec::new(),
        steady_requests_per_s: 0.0,
        economics: None,
        valid: invalid_because.is_none(),
        invalid_because,
        live: Some(driven.live),
        wall_s: started.elapsed().as_secs_f64(),
        seed: what.seed,
        nonce: Some(nonce),
        rate_scale: what.rate_scale,
        rows: driven.recorder.take_rows(),
    };
    let config = RunConfig {
        target: args.target.clone(),
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

/// What a reader of the figures must know of them.
pub fn notes(config: &RunConfig, run: &RunReport) -> Vec<String> {
    let nonce = config.nonce;
    let mut notes = vec![format!(
        "Every text is salted with nonce {nonce}, so caches hold none of it from runs with another; \
         --nonce {nonce} sends the same again."
    )];
    notes.extend(config.source.note());
    if let Some(slowest) = run.live.as_ref().and_then(|live| live.slowest.as_ref()) {
        let Slowest { request_id, ttft_s } = slowest;
        notes.push(format!(
            "Slowest TTFT: {request_id}, {ttft_s:.3} s; `loadgen explain` says why it went where it went, \
             while its router remembers."
        ));
    }
    notes
}

/// Different for every run, and short enough to be typed again.
fn fresh_nonce() -> u32 {
    // The standard library seeds its hashers from the system's randomness.
    RandomState::new().hash_one("nonce") as u32
}

/// Ends at the first ctrl-c or SIGTERM. From then on another one ends the program at once.
async fn interrupted() {
    signal().await;
    eprintln!("interrupted: waiting for the answers under way; ctrl-c again ends at once");
    tokio::spawn(async {
        signal().await;
        std::process::exit(INTERRUPTED);
    });
}

async fn signal() {
    let terminated = async {
        match unix::signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        Some(()) = terminated => {}
        // Where no signal can be heard, none comes.
        else => std::future::pending().await,
    }
}

/// What must be known of a target before it is driven.
#[derive(Clone, Copy, Debug)]
struct Fleet {
    /// The figures count in the target's blocks.
    block_size: u32,
    /// Only simulated workers have one.
    speedup: Option<f64>,
}

/// A router that was just started has no workers yet, so it gets a while.
async fn fleet_of(target: &str, identities: &Identities) -> Result<Fleet> {
    let begun = Instant::now();
    loop {
        match ask(target, identities).await {
            Ok(fleet) if fleet.block_size > 0 => return Ok(fleet),
            result if begun.elapsed() > START_LIMIT => {
                result?;
                bail!("no worker has joined the router at {target}; its log says why");
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn ask(target: &str, identities: &Identities) -> Result<Fleet> {
    let mut client = ControlClient::connect(target.to_owned())
        .await
        .with_context(|| format!("cannot reach the router at {target}"))?;
    let info = client
        .get_server_info(identities.sign(TenantId(0), GetServerInfoRequest {}))
        .await
        .with_context(|| format!("{target} does not answer vllm.Control/GetServerInfo"))?;
    let speedup = info.metadata().get(SPEEDUP).and_then(|text| text.to_str().ok()?.parse().ok());
    Ok(Fleet { block_size: info.get_ref().kv_block_size, speedup })
}
