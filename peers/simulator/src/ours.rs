//! Our simulator.

use crate::drawn::Drawn;
use anyhow::{Result, anyhow};
use std::fmt::Write as _;
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::physics::Deployment;
use warmpath_core::engine::profile::Profile;
use warmpath_core::report::Recorder;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::{Pace, TimedReplay, Trace, mooncake};
use warmpath_sim::{Group, Network, Observers, Scenario, run as simulate};

/// Built as the product builds its profiles: step times calibrated by measurements.
const PROFILE: &str = include_str!("../../../deploy/profiles/llama-70b-fp8-2xh100.toml");
const DEVICE: &str = include_str!("../../../deploy/profiles/devices/h100.toml");
const MODEL: &str = include_str!("../../../deploy/profiles/models/llama-3.1-70b.toml");
const BLOCK: u32 = 16;
/// Tokens that an id of a drawn request stands for. No two requests share one.
const IDS: u32 = 512;

/// A profile with calibrated step times.
pub fn profile(block: u32, room: u64, sequences: u32) -> Result<Profile> {
    let (device, model) = (toml::from_str(DEVICE)?, toml::from_str(MODEL)?);
    let mut deployment: Deployment = toml::from_str(PROFILE)?;
    (deployment.block_size, deployment.hbm_tokens) = (block, Some(room));
    (deployment.max_num_seqs, deployment.max_num_batched_tokens) = (sequences, 8_192);
    Profile::build(&device, &model, &deployment).map_err(|error| anyhow!("{error}"))
}

/// Plays requests before `workers` workers that take turns.
pub fn run(workload: Workload, profile: Profile, workers: u32) -> Result<Recorder> {
    let scenario = Scenario {
        network: Network { hop_us: 0.0, ..Network::default() },
        ..Scenario::plain(Group::alone(workers, profile), PolicyConfig::RoundRobin)
    };
    let outcome = simulate(&scenario, workload, Observers::default());
    Ok(outcome.map_err(|error| anyhow!("{error}"))?.recorder)
}

/// Requests of the same lengths, at the same times, as a trace.
pub fn works(drawn: &Drawn) -> Arc<Trace> {
    let mut text = String::new();
    let mut id = 0;
    for (&at, &(input, output)) in drawn.times.iter().zip(&drawn.lengths) {
        let ids: Vec<String> = (0..input.div_ceil(IDS)).map(|i| (id + i).to_string()).collect();
        id += input.div_ceil(IDS);
        let (at, ids) = ((at * 1e3).round(), ids.join(","));
        writeln!(
            text,
            r#"{{"timestamp":{at},"input_length":{input},"output_length":{output},"hash_ids":[{ids}]}}"#
        )
        .expect("text grows");
    }
    let requests = mooncake::read(text.lines()).expect("a trace");
    Arc::new(Trace::new(requests, &ScopePlan::new("", "", "", BLOCK)))
}

/// Plays them, and says how many were answered.
pub fn play(trace: &Arc<Trace>, servers: u32) -> Result<usize> {
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    let workload = Workload::Trace(TimedReplay::new(Arc::clone(trace), pace));
    let recorder = run(workload, profile(BLOCK, 400_000, 100)?, servers)?;
    let slo = warmpath_core::report::Slo { ttft_s: 2.0, tpot_s: 0.1 };
    let figures = recorder.figures(BLOCK, servers, &slo);
    anyhow::ensure!(figures.requests as usize == trace.len(), "all requests are answered");
    Ok(figures.requests as usize)
}
