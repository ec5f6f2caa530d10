//! A rule in our own simulator.

use crate::Figures;
use crate::setting::{BLOCK, WORKERS, profile, replay};
use anyhow::{Result, anyhow};
use std::sync::Arc;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::Trace;
use warmpath_sim::{Group, Network, Observers, Scenario, run};

/// Plays the trace. Messages take no time, as in theirs.
pub fn play(trace: &Arc<Trace>, speed: f64, tokens: u64, rule: PolicyConfig) -> Result<Figures> {
    let scenario = Scenario {
        network: Network { hop_us: 0.0, ..Network::default() },
        ..Scenario::plain(Group::alone(WORKERS, profile(tokens)), rule)
    };
    let workload = Workload::Trace(replay(trace, speed));
    let outcome =
        run(&scenario, workload, Observers::default()).map_err(|error| anyhow!("{error}"))?;
    let slo = Slo { ttft_s: 2.0, tpot_s: 0.1 };
    let figures = outcome.recorder.figures(BLOCK, WORKERS, &slo);
    Ok(Figures {
        ttft_ms: figures.ttft_s.expect("answers").mean * 1e3,
        hit_rate: figures.hit_rate.expect("answers"),
    })
}
