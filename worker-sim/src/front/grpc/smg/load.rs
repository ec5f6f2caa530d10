//! How much a worker has to do, in SMG's terms.

use crate::config::WorkerConfig;
use warmpath_core::event::LoadReport;
use warmpath_proto::engine::SchedulerLoad;
use warmpath_proto::engine::common::EngineLoad;

/// Share of the KV blocks that requests use. 0 where there is no limit.
fn usage(config: &WorkerConfig, report: &LoadReport) -> f64 {
    let all = config.profile.hbm_blocks().filter(|&all| all > 0);
    all.map_or(0.0, |all| report.blocks_in_use as f64 / all as f64)
}

fn signed(number: u64) -> i32 {
    number.min(i32::MAX as u64) as i32
}

pub fn scheduler_load(config: &WorkerConfig, report: &LoadReport) -> SchedulerLoad {
    let profile = &config.profile;
    let tokens = |blocks: u64| signed(blocks.saturating_mul(u64::from(profile.block_size)));
    SchedulerLoad {
        dp_rank: 0,
        num_running_reqs: signed(report.running.into()),
        num_waiting_reqs: signed(report.waiting.into()),
        num_total_reqs: signed(u64::from(report.running) + u64::from(report.waiting)),
        num_used_tokens: tokens(report.blocks_in_use),
        max_total_num_tokens: profile.hbm_blocks().map_or(0, tokens),
        token_usage: usage(config, report),
        max_running_requests: signed(profile.max_num_seqs.into()),
        num_waiting_uncached_tokens: signed(report.queued_prefill_tokens),
    }
}

/// `sample`: how many records the stream had before.
pub fn engine_load(config: &WorkerConfig, report: &LoadReport, sample: u64) -> EngineLoad {
    let queued = report.queued_prefill_tokens.min(u32::MAX.into()) as u32;
    EngineLoad {
        running_requests: report.running,
        waiting_requests: report.waiting,
        waiting_uncached_tokens: Some(queued),
        token_usage: usage(config, report),
        gen_throughput: 0.0,
        max_running_requests: config.profile.max_num_seqs,
        age_ms: 0,
        sample,
        load_only: false,
        active_token_usage: Some(usage(config, report)),
    }
}
