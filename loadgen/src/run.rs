//! `run`: drives a router that already runs, whatever stands behind it.

use crate::cli;
use crate::compare::{too_few, too_late};
use crate::drive::{self, Options};
use crate::files::bad;
use crate::progress::Progress;
use crate::results::{Mode, RunReport};
use crate::source::Source;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};
use warmpath_core::block::ScopePlan;
use warmpath_core::report::Slo;
use warmpath_core::workload::trace::Pace;
use warmpath_proto::vllm::GetServerInfoRequest;
use warmpath_proto::vllm::control_client::ControlClient;

const REQUEST_LIMIT: Duration = Duration::from_secs(600);
/// How long a target may take to come up.
const START_LIMIT: Duration = Duration::from_secs(5);
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
    pub slo: Slo,
    /// As the target says.
    pub block_size: u32,
}

pub fn run(args: &cli::Run, progress: &Progress) -> Result<(RunConfig, RunReport)> {
    let what = &args.what;
    if !args.target.starts_with("http://") {
        return Err(bad(format!("--target: {}, expected http://HOST:PORT", args.target)));
    }
    let source = match &what.trace {
        Some(path) => Source::trace(path)?,
        None => Source::workload(&what.workload, Path::new(""))?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let block_size = runtime.block_on(block_size_of(&args.target))?;
    let prepared = source.prepare(&ScopePlan::new("", "run", "", block_size));
    let pace = Pace {
        rate_scale: what.rate_scale,
        tick_jitter: what.tick_jitter,
        seed: what.seed,
        limit: what.requests.map(NonZeroU64::get),
    };
    let workload = prepared.workload(pace);
    let bar = progress.start(workload.total(), "live", "requests");
    let options =
        Options { speedup: what.speedup, check_tokens: what.check_tokens, timeout: REQUEST_LIMIT };
    let started = Instant::now();
    let driven = runtime
        .block_on(drive::drive(&args.target, workload, options, move |ended| bar.set(ended)))?;
    let figures = driven.recorder.figures(block_size, None, &SLO);
    let lateness = driven.live.send_lateness_s.mean * what.speedup;
    let invalid_because = too_late(lateness, figures.ttft_s.mean).or_else(|| too_few(&figures));
    let report = RunReport {
        policy: None,
        mode: Mode::Live,
        workload: prepared.name(),
        profile: None,
        profile_validated: false,
        profile_standing: None,
        profile_hbm_tokens_computed: None,
        figures,
        router_overhead_s: driven.live.router_overhead_s,
        speedup: Some(what.speedup),
        engine: None,
        valid: invalid_because.is_none(),
        invalid_because,
        live: Some(driven.live),
        wall_s: started.elapsed().as_secs_f64(),
        seed: what.seed,
        rate_scale: what.rate_scale,
    };
    let config = RunConfig {
        target: args.target.clone(),
        source,
        rate_scale: what.rate_scale,
        tick_jitter: what.tick_jitter,
        speedup: what.speedup,
        seed: what.seed,
        slo: SLO,
        block_size,
    };
    Ok((config, report))
}

/// The figures count in the target's blocks. A router that was just started has no workers yet, so
/// it gets a while.
async fn block_size_of(target: &str) -> Result<u32> {
    let begun = Instant::now();
    loop {
        match ask_block_size(target).await {
            Ok(size) if size > 0 => return Ok(size),
            result if begun.elapsed() > START_LIMIT => {
                result?;
                bail!("no worker has joined the router at {target}; its log says why");
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn ask_block_size(target: &str) -> Result<u32> {
    let mut client = ControlClient::connect(target.to_owned())
        .await
        .with_context(|| format!("cannot reach the router at {target}"))?;
    let info = client
        .get_server_info(GetServerInfoRequest {})
        .await
        .with_context(|| format!("{target} does not answer vllm.Control/GetServerInfo"))?;
    Ok(info.into_inner().kv_block_size)
}
