//! What `sharing`, `advise` and `generations` are asked about: a workload, a fleet, prices and an SLO.

use crate::Files;
use crate::cli::{Prices, TraceArgs, What};
use crate::config::Setup;
use crate::files::bad;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

const SCENARIO: &str = include_str!("../../deploy/scenarios/sharing.toml");
/// Recorded sessions are long, and they are played many times.
const RECORDED_REQUESTS: u64 = 6_000;
const RECORDED_WORKERS: u32 = 4;

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
    /// Everything resolved; costs are always reckoned.
    pub fn setup(&self) -> Result<Setup> {
        let mut setup = Setup::resolve_on(&self.what(), "built-in sharing scenario", SCENARIO)?;
        if setup.fleet.groups().len() > 1 {
            return Err(bad("--scenario: has groups, expected a fleet of one profile"));
        }
        let recorded = self.trace.is_some() && setup.source.concurrency().is_some();
        let limit = self.requests.or(recorded.then_some(RECORDED_REQUESTS));
        if let Some(limit) = limit {
            setup.source.limit(limit);
        }
        if recorded && self.workers.is_none() && self.scenario.is_none() {
            setup.fleet.set_workers(RECORDED_WORKERS);
        }
        setup.slo.ttft_s = self.ttft.unwrap_or(setup.slo.ttft_s);
        setup.slo.tpot_s = self.tpot.unwrap_or(setup.slo.tpot_s);
        setup.prices = Some(self.prices.load()?);
        Ok(setup)
    }

    pub fn files(&self) -> Result<Files> {
        Files::at(self.json.as_deref(), self.csv.as_deref(), None)
    }

    fn what(&self) -> What {
        What {
            scenario: self.scenario.clone(),
            trace: self.trace.clone(),
            workload: self.workload.clone(),
            policies: Vec::new(),
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
