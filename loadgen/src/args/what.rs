//! The flags that `compare` and `sim` share.

use super::prices::Prices;
use super::trace::TraceArgs;
use super::values::{
    HbmTokens, parse_routers, parse_scale, parse_tenants, parse_tokens, parse_whole,
};
use crate::files::bad;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use warmpath_core::sharing::SharingRule;
use warmpath_sim::Routing;

/// What `compare` and `sim` run. A flag overrides the scenario file.
#[derive(Debug, Args)]
pub struct What {
    /// Scenario: a name, or a scenario file (TOML); `loadgen list scenarios` has the names
    /// [default: default; trace with --trace]
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<String>,
    #[command(flatten)]
    pub trace: Option<TraceArgs>,
    /// Workload: a name, or a workload file (TOML) [default: the scenario's]
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Policies to compare, separated by commas; naive, field, own and all stand for groups. A policy may
    /// have parameters, and +hold lets requests wait in the router:
    /// 'naive,dynamo+hold,session-affinity(bound=1.5)' [default: the scenario's]
    #[arg(long, value_name = "A,B,...")]
    pub policies: Option<String>,
    /// Number of workers, 1 to 65535 [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32>)]
    pub workers: Option<u32>,
    /// Routers before the fleet in simulations, 1 to 64, and how each learns what the others send: nothing,
    /// load-reports or bookings, as in 4:load-reports [default: the scenario's; bookings]
    #[arg(long, value_name = "N[:HOW]", value_parser = parse_routers)]
    pub routers: Option<Routing>,
    /// Worker profile: a name, or a profile file (TOML) [default: the scenario's]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// KV cache of each worker in HBM, in tokens, or "unlimited" [default: the profile's]
    #[arg(long, value_name = "N|unlimited", value_parser = parse_tokens)]
    pub hbm_tokens: Option<HbmTokens>,
    /// Tokens per KV block, 1 to 65536 [default: the trace's block size, else the profile's]
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32>)]
    pub block_size: Option<u32>,
    /// Who shares KV cache: none, session, tenant, group:N (tenant n is in group n modulo N) or all.
    /// With +public at the end, all tenants also share the operator's system prompts
    #[arg(long, value_name = "SCOPE")]
    pub sharing: Option<SharingRule>,
    /// Number of tenants, 1 to 100000; sessions are assigned at random [default: the workload's]
    #[arg(long, value_name = "N", value_parser = parse_tenants)]
    pub tenants: Option<u32>,
    /// Multiplies the workload's arrival rate. Not for a closed loop, which has none
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_scale)]
    pub rate_scale: f64,
    /// Several factors for the arrival rate, separated by commas; each factor is a separate run.
    /// Not for a closed loop, which has no arrival rate
    #[arg(long, value_name = "X,Y,...", value_delimiter = ',', value_parser = parse_scale,
          conflicts_with = "rate_scale")]
    pub rates: Vec<f64>,
    /// Spreads the requests of one trace timestamp over the time until the next timestamp
    #[arg(long)]
    pub tick_jitter: bool,
    /// Seed for everything that is random [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = parse_whole::<u64>)]
    pub seed: Option<u64>,
    /// Number of seeds, 1 to 10000: --seed and those after it. With several, results are means with
    /// 95 % intervals
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub seeds: u64,
    /// Label of the policy that the others are compared with [default: the first policy]
    #[arg(long, value_name = "POLICY")]
    pub baseline: Option<String>,
    /// Also searches for the highest rate at which 90 % of the requests meet the SLO
    #[arg(long)]
    pub capacity: bool,
    /// Also computes energy (kWh) and cost (USD)
    #[arg(long)]
    pub cost: bool,
    #[command(flatten)]
    pub prices: Prices,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes one row per run as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Writes one row per request as Parquet, without the runs of --capacity
    #[arg(long, value_name = "FILE")]
    pub parquet: Option<PathBuf>,
    /// Writes llm-d's benchmark report v0.2 as YAML; several runs go into a folder for each
    /// policy beside FILE
    #[arg(long, value_name = "FILE")]
    pub benchmark_report: Option<PathBuf>,
}

impl What {
    /// Refuses what only runs of `sim` have: a search for the capacity, costs, and files of single requests and runs.
    pub fn refuse_outputs_of_runs(&self, why: &str) -> Result<()> {
        let flags = [
            ("--capacity", self.capacity),
            ("--cost", self.cost || self.prices.are_given()),
            ("--parquet", self.parquet.is_some()),
            ("--benchmark-report", self.benchmark_report.is_some()),
        ];
        match flags.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(bad(format!("{flag}: {why}"))),
            None => Ok(()),
        }
    }
}
