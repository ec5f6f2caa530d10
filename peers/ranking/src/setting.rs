//! What both simulators are given: the fleet, the trace and its pace.

use anyhow::{Context, Result, anyhow};
use std::path::Path;
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::{LinearStep, Profile, StepTime};
use warmpath_core::workload::trace::{Pace, TimedReplay, Trace, mooncake};

/// Workers.
pub const WORKERS: u32 = 8;
/// Tokens of a block, those of the trace.
pub const BLOCK: u32 = 512;
/// The most sequences in a step.
pub const SEQUENCES: u32 = 256;
/// The most tokens in a step.
pub const STEP_TOKENS: u32 = 8_192;

/// The trace with the sessions that its prompts show.
pub fn read(path: &Path) -> Result<Arc<Trace>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let requests = mooncake::read(text.lines()).map_err(|error| anyhow!("{error}"))?;
    let trace = Trace::new(requests, &ScopePlan::new("", "", "", BLOCK));
    Ok(Arc::new(trace.with_inferred_sessions(BLOCK)))
}

/// The requests at their recorded times, `speed` times as fast.
pub fn replay(trace: &Arc<Trace>, speed: f64) -> TimedReplay {
    let pace = Pace { rate_scale: speed, tick_jitter: false, seed: 1, limit: None };
    TimedReplay::new(Arc::clone(trace), pace)
}

/// Our form of their default timing. They take, in milliseconds, for a pass with n new tokens and a
/// share u of the KV room in use:
///
/// ```text
/// 16.50142 + 1.518344e-2 n + 4.209989e-7 n^2   if n > 0
/// max(1, 5.74 + 54.01 u - 25.74 u^2)           if a sequence decodes
/// ```
///
/// Ours has one constant for all steps, which is theirs of decoding. A line through 0 stands for their
/// first polynomial: most new tokens come in steps of 8,192, where it takes 169.1 ms, and in ends of
/// prompts, where 4,096 take 85.8 ms. 20.7 us a token are 169.6 and 84.8 ms. It is too fast for short
/// ends: 512 tokens take 10.6 ms and not 24.4. The slope of the second is that of the line to u = 0.3.
pub fn profile(hbm_tokens: u64) -> Profile {
    let step = LinearStep {
        base_ns: 5.74e6,
        weights_ns: 0.0,
        ns_per_token: 20_700.0,
        ns_per_pair: 0.0,
        ns_per_context_token: (54.01 - 25.74 * 0.3) * 1e6 / hbm_tokens as f64,
        ns_per_seq: 0.0,
    };
    Profile {
        name: "polynomial".into(),
        validated: false,
        block_size: BLOCK,
        hbm_tokens: Some(hbm_tokens),
        kv_bytes_per_token: 131_072,
        max_num_seqs: SEQUENCES,
        max_num_batched_tokens: STEP_TOKENS,
        step: StepTime::Linear(step),
        eviction: Default::default(),
        tiers: Vec::new(),
        pool: None,
        peers: None,
    }
}
