//! The legs in virtual time.

use crate::cli;
use crate::config::Setup;
use crate::files::{PendingFile, bad};
use crate::progress::Progress;
use crate::results::{EngineFigures, Mode, RunReport};
use crate::source::Prepared;
use anyhow::Result;
use std::path::Path;
use std::time::Instant;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::EngineStats;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::{Entry, Header};
use warmpath_core::workload::trace::Pace;
use warmpath_sim::Observers;

/// `loadgen sim`: the whole workload under each policy.
pub fn all(args: &cli::Sim, setup: &Setup, progress: &Progress) -> Result<Vec<RunReport>> {
    let prepared = setup.source.prepare(&scope(setup));
    let total = prepared.workload(pace(setup, None)).total();
    let mut runs = Vec::new();
    for &policy in &setup.policies {
        let bar = progress.start(total, &format!("{policy} sim"));
        let record = args.record.as_deref();
        runs.push(simulate(setup, &prepared, policy, None, record, &mut |n| bar.set(n))?);
    }
    Ok(runs)
}

/// In virtual time nobody is kept apart from anybody, so all runs share one scope.
pub fn scope(setup: &Setup) -> ScopePlan {
    ScopePlan::new("", "sim", "", setup.profile.block_size)
}

pub fn pace(setup: &Setup, limit: Option<u64>) -> Pace {
    Pace { rate_scale: setup.rate_scale, tick_jitter: setup.tick_jitter, seed: setup.seed, limit }
}

/// `limit`: only so many requests, for parity with a live leg.
pub fn simulate(
    setup: &Setup,
    prepared: &Prepared<'_>,
    policy: PolicyConfig,
    limit: Option<u64>,
    record: Option<&Path>,
    progress: &mut dyn FnMut(u64),
) -> Result<RunReport> {
    let started = Instant::now();
    let workload = prepared.workload(pace(setup, limit));
    let mut log = record.map(|folder| Log::create(folder, policy, setup.seed)).transpose()?;
    let mut write = |entry: &Entry| {
        if let Some(log) = &mut log {
            log.push(entry);
        }
    };
    let observers =
        Observers { record: record.is_some().then_some(&mut write), progress: Some(progress) };
    let scenario = setup.scenario(policy);
    let outcome = warmpath_sim::run(&scenario, workload, observers)
        .map_err(|error| bad(error.to_string()))?;
    if let Some(log) = log {
        log.finish()?;
    }
    let block_size = setup.profile.block_size;
    let sum = |of: fn(&EngineStats) -> u64| outcome.engines.iter().map(of).sum();
    let figures = outcome.recorder.figures(block_size, setup.workers, &setup.slo);
    let busy: f64 = outcome.engines.iter().map(|stats| stats.busy.as_secs_f64()).sum();
    let offered_s = figures.duration_s * f64::from(setup.workers);
    let engine = EngineFigures {
        utilisation: if offered_s > 0.0 { busy / offered_s } else { 0.0 },
        steps: sum(|stats| stats.steps),
        preemptions: sum(|stats| stats.preemptions),
        recomputed_tokens: sum(|stats| stats.recomputed_tokens),
        hit_blocks_by_tier: outcome.hit_blocks_by_tier,
        overlap_blocks: outcome.overlap_blocks,
    };
    Ok(RunReport {
        policy: Some(policy),
        mode: if limit.is_some() { Mode::SimSlice } else { Mode::Sim },
        workload: prepared.name(),
        profile: Some(setup.profile.name.clone()),
        profile_validated: setup.profile.validated,
        figures,
        router_overhead_s: None,
        speedup: None,
        engine: Some(engine),
        valid: true,
        invalid_because: None,
        live: None,
        wall_s: started.elapsed().as_secs_f64(),
        seed: setup.seed,
    })
}

/// A record in the making, kept in memory until it is whole.
struct Log {
    file: PendingFile,
    text: Vec<u8>,
}

impl Log {
    fn create(folder: &Path, policy: PolicyConfig, seed: u64) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .map_err(|error| bad(format!("{}: {error}", folder.display())))?;
        let file = PendingFile::create(&folder.join(format!("{policy}.jsonl")))?;
        let mut text = serde_json::to_vec(&Header::new(policy, seed))?;
        text.push(b'\n');
        Ok(Self { file, text })
    }

    fn push(&mut self, entry: &Entry) {
        serde_json::to_writer(&mut self.text, entry).expect("an entry has a JSON form");
        self.text.push(b'\n');
    }

    fn finish(self) -> Result<()> {
        self.file.finish(&self.text)
    }
}
