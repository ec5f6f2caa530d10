//! The flags that `sharing`, `advise` and `generations` share: a workload, a fleet, prices and an SLO.

use super::{Prices, TraceArgs, What};
use clap::Args;
use std::path::PathBuf;

/// What a study is about.
#[derive(Debug, Args)]
pub struct Question {
    /// Scenario file (TOML) with a pool and devices [default: the built-in
    /// deploy/scenarios/sharing.toml]
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    #[command(flatten)]
    pub trace: Option<TraceArgs>,
    /// Workload: a name, or a workload file (TOML) [default: the scenario's]
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Number of tenants, 1 to 100000; sessions are assigned at random [default: the workload's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tenants: Option<u32>,
    /// Number of workers, 1 to 65535 [default: the scenario's; 4 for recorded sessions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub workers: Option<u32>,
    /// Worker profile: a name, or a profile file (TOML) [default: the scenario's]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Plays only the first N requests. A recorded session is never cut [default: all requests;
    /// 6000 for recorded sessions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    /// Seed for everything that is random [default: the scenario's]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// SLO: seconds to the first token; 90 % of the requests must meet it [default: the scenario's]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub ttft: Option<f64>,
    /// SLO: mean seconds per further token; 90 % of the requests must meet it [default: the
    /// scenario's]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub tpot: Option<f64>,
    #[command(flatten)]
    pub prices: Prices,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes the table as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

impl Question {
    /// The same as the flags of a run, with costs.
    pub fn what(&self) -> What {
        What {
            scenario: self.scenario.clone(),
            trace: self.trace.clone(),
            workload: self.workload.clone(),
            policies: None,
            workers: self.workers,
            profile: self.profile.clone(),
            hbm_tokens: None,
            block_size: None,
            sharing: None,
            tenants: self.tenants,
            rate_scale: 1.0,
            rates: Vec::new(),
            tick_jitter: false,
            seed: self.seed,
            seeds: 1,
            baseline: None,
            capacity: false,
            cost: true,
            prices: self.prices.clone(),
            json: None,
            csv: None,
            parquet: None,
        }
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (1e-6..=1e6).contains(value));
    value.ok_or_else(|| "expected seconds, more than 0".to_owned())
}
