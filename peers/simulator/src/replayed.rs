//! The conversation trace in both simulators, with round robin.

use aisimulate_core::replay::{
    CURRENT_REPLAY_SPEC_VERSION, ProviderSpec, ReplayAdapters, ReplayEngineConfig,
    ReplayEngineFactory, ReplayRuntimeInput, ReplaySpec, ReplayTopology, Replayer, SlaThresholds,
};
use anyhow::{Context, Result, anyhow};
use serde_json::json;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::report::Slo;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::{Pace, TimedReplay, Trace, mooncake};

/// Tokens of a block of the trace.
const TRACE_BLOCK: u32 = 512;
/// KV room of a worker in tokens.
pub const ROOM: u64 = 375_000;

/// What a run served.
pub struct Ran {
    pub answered: u64,
    pub hit_rate: f64,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {}, {:.1} % cached", self.answered, self.hit_rate * 100.0)
    }
}

/// The trace for engines with this block size.
pub fn read(path: &Path, block: u32) -> Result<Arc<Trace>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let requests = mooncake::read(text.lines()).map_err(|error| anyhow!("{error}"))?;
    Ok(Arc::new(Trace::new(requests, &ScopePlan::new("", "", "", block))))
}

/// In our simulator, from the trace in memory.
pub fn ours(trace: &Arc<Trace>, block: u32, workers: u32) -> Result<Ran> {
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    let workload = Workload::Trace(TimedReplay::new(Arc::clone(trace), pace));
    let profile = crate::ours::profile(block, ROOM, 256)?;
    let recorder = crate::ours::run(workload, profile, workers)?;
    let figures = recorder.figures(block, workers, &Slo { ttft_s: 2.0, tpot_s: 0.1 });
    Ok(Ran { answered: figures.requests, hit_rate: figures.hit_rate.context("answers")? })
}

/// In theirs. It reads the trace in each run: its driver is used up by one. That takes a small part of the time.
pub fn theirs(path: &Path, block: u32, workers: u32) -> Result<Ran> {
    use aisimulate_core::replay::loadgen::Trace;
    let recorded = Trace::from_mooncake(path, TRACE_BLOCK as usize)?.normalize_session_starts()?;
    let rank = serde_json::from_value(json!({
        "backend": "vllm",
        "block_size": block,
        "num_gpu_blocks": ROOM / u64::from(block),
        "max_num_seqs": 256,
        "max_num_batched_tokens": 8_192,
    }))?;
    let engine =
        ReplayEngineConfig { num_gpu_blocks_is_explicit: Some(true), rank, ..Default::default() };
    let (placement, scaling) = (ProviderSpec::round_robin(), ProviderSpec::no_scaling());
    let spec = ReplaySpec {
        version: CURRENT_REPLAY_SPEC_VERSION,
        topology: ReplayTopology::aggregated(workers as usize),
        engine: serde_json::to_value(engine)?,
        adapters: ReplayAdapters { placement, scaling },
        max_sim_time_ms: None,
        max_in_flight: None,
        record_per_request: false,
        sla: SlaThresholds { ttft_ms: Some(2_000.0), itl_ms: Some(100.0), e2e_ms: None },
        requests: Vec::new(),
    };
    let driver = recorded.into_trace_driver_with_block_size(block as usize)?;
    let replayer = Replayer::new(spec, ReplayEngineFactory::new())?;
    let report = replayer.with_runtime_input(ReplayRuntimeInput::Workload(driver)).run()?;
    let report = serde_json::to_value(&report)?;
    let figure = |name: &str| report[name].as_f64().with_context(|| format!("no {name}"));
    Ok(Ran {
        answered: figure("completed_requests")? as u64,
        hit_rate: figure("prefix_cache_reused_ratio")?,
    })
}
