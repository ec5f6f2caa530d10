//! What a study is asked about: a workload, a fleet, prices and an SLO.

use super::{Prices, TraceArgs, What};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Question {
    /// A scenario file (TOML) with a pool and devices; without it the built-in one
    /// (deploy/scenarios/sharing.toml)
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    #[command(flatten)]
    pub trace: Option<TraceArgs>,
    /// A workload by name, or a workload file (TOML); the scenario's unless given
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Deals the sessions to so many tenants
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tenants: Option<u32>,
    /// Workers in the fleet; 4 for recorded sessions unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub workers: Option<u32>,
    /// A worker profile by name, or a profile file (TOML)
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Plays the first so many requests alone, whole sessions; 6000 of recorded sessions unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    #[arg(long, value_name = "N", help = "Seed of everything that is drawn")]
    pub seed: Option<u64>,
    /// Seconds to the first token that 90 % of the requests must keep
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub ttft: Option<f64>,
    /// Seconds for each further token
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
    /// The same as flags of a run.
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
