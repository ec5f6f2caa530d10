//! What to run: the flags that `compare` and `sim` share.

use super::prices::Prices;
use super::trace::TraceArgs;
use super::values::{HbmTokens, parse_scale, parse_tenants, parse_tokens, parse_whole};
use clap::Args;
use std::path::PathBuf;
use warmpath_core::sharing::Sharing;

/// What to run, shared by `compare` and `sim`. Flags win over the scenario file.
#[derive(Debug, Args)]
pub struct What {
    /// A scenario file (TOML); without it the built-in default
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    #[command(flatten)]
    pub trace: Option<TraceArgs>,
    /// A workload by name, or a workload file (TOML)
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Policies to compare, separated by commas, or "all". A policy may have parameters:
    /// 'kv-aware,session-affinity(bound=1.5)'
    #[arg(long, value_name = "A,B,...")]
    pub policies: Option<String>,
    /// Workers in the fleet
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32>)]
    pub workers: Option<u32>,
    /// A worker profile by name, or a profile file (TOML)
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// KV memory of each worker in tokens, or "unlimited"
    #[arg(long, value_name = "N|unlimited", value_parser = parse_tokens)]
    pub hbm_tokens: Option<HbmTokens>,
    /// Tokens a KV block; with a trace the trace's own block unless given
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32>)]
    pub block_size: Option<u32>,
    /// Within what KV cache is shared: none, session, tenant, group:N (tenant n is in group n modulo N)
    /// or all; with +public behind it, all tenants share the operator's system prompts whatever the
    /// scope
    #[arg(long, value_name = "SCOPE")]
    pub sharing: Option<Sharing>,
    /// Deals the sessions to so many tenants
    #[arg(long, value_name = "N", value_parser = parse_tenants)]
    pub tenants: Option<u32>,
    /// Times the workload's own arrival rate
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_scale)]
    pub rate_scale: f64,
    /// Several rates in one call, separated by commas, each times the workload's own
    #[arg(long, value_name = "X,Y,...", value_delimiter = ',', value_parser = parse_scale,
          conflicts_with = "rate_scale")]
    pub rates: Vec<f64>,
    /// Spreads the requests of one trace timestamp over the time to the next
    #[arg(long)]
    pub tick_jitter: bool,
    #[arg(long, value_name = "N", value_parser = parse_whole::<u64>, help = "Seed of everything that is drawn")]
    pub seed: Option<u64>,
    /// Runs with so many seeds, from --seed on, and gives 95 % intervals over them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub seeds: u64,
    /// Label of the policy that the others are compared with [default: the first one]
    #[arg(long, value_name = "POLICY")]
    pub baseline: Option<String>,
    /// Searches for the highest rate at which 90 % of the requests meet the SLO
    #[arg(long)]
    pub capacity: bool,
    /// Reckons energy and cost too
    #[arg(long)]
    pub cost: bool,
    #[command(flatten)]
    pub prices: Prices,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes one row a run as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Writes one row a request as Parquet, of all runs but those of --capacity
    #[arg(long, value_name = "FILE")]
    pub parquet: Option<PathBuf>,
}
