//! The command line.

use crate::economics::{Sheet, check_devices, parse_price};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::str::FromStr;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::{Sharing, Tenants};
use warmpath_core::workload::arrivals::TraceArrivals;
use warmpath_core::workload::trace::Format;

/// Measures what a routing policy is worth on a fleet of LLM workers that share KV cache.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What stands on the command line. Help is printed and ends the program; an error is one line.
    pub fn from_command_line() -> Result<Self, String> {
        // A negative number is a value that is wrong, not a flag that nobody knows.
        let command = Self::command().mut_subcommands(|command| {
            command.mut_args(|arg| match arg.get_action().takes_values() {
                true => arg.allow_negative_numbers(true),
                false => arg,
            })
        });
        let parsed = command.try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        parsed.map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
            _ => in_one_line(&error.to_string()),
        })
    }
}

/// The error without the usage behind it.
fn in_one_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let said = text.lines().take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    said.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

const EXIT_CODES: &str = "Exit status: 0 done, 1 the run failed or is not valid, 2 bad input.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs each policy on a live gRPC fleet in this process and in virtual time, and prints one
    /// table
    Compare(Compare),
    /// Runs each policy in virtual time alone
    Sim(Sim),
    /// What each kind of sharing is worth on a workload: from users' own devices to a shared pool
    Sharing(crate::sharing::Args),
    /// A cluster that shares, users' own devices, or both: which, at what cost, and what would turn
    /// the answer round
    Advise(crate::advise::Args),
    /// One workload on the chips of several generations: tokens a second, and what they cost
    Generations(crate::generations::Args),
    /// Drives a router that already runs
    Run(Run),
    /// Repeats a router's recorded log and checks that every decision comes out the same
    Replay(Replay),
    /// Holds the model of engine times against measurements
    Fidelity(crate::fidelity::Args),
    /// Fits a device's constants to step times of one's own, and writes its profile
    Fit(crate::fidelity::FitArgs),
    /// Says why a running router sent a request where it did
    Explain(crate::explain::Args),
}

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
    /// Policies to compare, separated by commas, or "all"
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    pub policies: Vec<String>,
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
    /// The policy that the others are compared with; the first one unless given
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

/// What energy and money are reckoned with.
#[derive(Clone, Debug, Args)]
pub struct Prices {
    /// Prices of power, machines and services; without it those of deploy/economics.toml
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// What a chip costs an hour: h100=2.50; in place of what its row says
    #[arg(long = "price", value_name = "NAME=USD", value_parser = parse_price)]
    pub price: Vec<(String, f64)>,
}

impl Prices {
    /// Who names a price wants to see costs.
    pub const fn are_given(&self) -> bool {
        self.prices.is_some() || !self.price.is_empty()
    }

    pub fn load(&self) -> anyhow::Result<Sheet> {
        let mut sheet = Sheet::load(self.prices.as_deref())?;
        check_devices(&self.price)?;
        sheet.set_prices(&self.price);
        Ok(sheet)
    }
}

/// A trace to play instead of a workload. All of them are absent unless the file is named.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// A trace to play instead of a workload: Mooncake's JSONL, coding-agent sessions (JSONL), Azure's
    /// CSV, or Dynamo's request traces (JSONL), gzipped or not
    // Not required by itself; the flags below require it.
    #[arg(id = "trace", long = "trace", value_name = "FILE", required = false)]
    #[arg(conflicts_with = "workload")]
    pub file: PathBuf,
    /// The trace's format: mooncake, coding-agents, azure or dynamo; told from the file unless given
    #[arg(long, value_name = "NAME", requires = "trace")]
    pub format: Option<Format>,
    /// When a trace's requests come: recorded (the default), or with drawn gaps of the same mean:
    /// poisson, constant or gamma:CV
    #[arg(long, value_name = "KIND", requires = "trace")]
    pub arrivals: Option<TraceArrivals>,
    /// Recorded sessions under way at once, in a closed loop; 64 unless given
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU32>, requires = "trace")]
    pub sessions: Option<NonZeroU32>,
    /// The longest that a recorded session thinks between answer and next request; 60 unless given
    #[arg(long, value_name = "SECONDS", requires = "trace", value_parser = parse_seconds)]
    pub think_cap: Option<f64>,
}

#[derive(Debug, Args)]
pub struct Compare {
    #[command(flatten)]
    pub what: What,
    /// Requests of the live leg; 0 leaves it out. Default: the scenario's, of a trace what it sends in
    /// 8 s; none with several seeds or rates
    #[arg(long, value_name = "N", value_parser = parse_whole::<u64>)]
    pub live_requests: Option<u64>,
    /// Model seconds a wall second in the live leg
    #[arg(long, value_name = "X", value_parser = parse_speedup)]
    pub speedup: Option<f64>,
    /// Writes each live router's log as DIR/POLICY.jsonl, for `loadgen replay`
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Sim {
    #[command(flatten)]
    pub what: What,
    /// Writes each simulated router's log as DIR/POLICY.jsonl, for `loadgen replay`
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Run {
    /// The router: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub target: String,
    #[command(flatten)]
    pub what: RunWhat,
}

/// What to send to a router whose fleet and policy are its own business.
#[derive(Debug, Args)]
pub struct RunWhat {
    #[command(flatten)]
    pub trace: Option<TraceArgs>,
    /// A workload by name, or a workload file (TOML)
    #[arg(long, value_name = "NAME", default_value = "assistant")]
    pub workload: String,
    /// Whom it plays: a TOML file with a `[[tenants]]` table for each, as the router's own has, of name
    /// and token, token_file or token_env. Sessions are dealt to them
    #[arg(long, value_name = "FILE")]
    pub tenants_file: Option<PathBuf>,
    /// Stops after so many requests
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU64>)]
    pub requests: Option<NonZeroU64>,
    /// Times the workload's own arrival rate
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_scale)]
    pub rate_scale: f64,
    /// Spreads the requests of one trace timestamp over the time to the next
    #[arg(long)]
    pub tick_jitter: bool,
    /// Model seconds a wall second. Unless given, what the target says it runs at, and 1 for real
    /// engines, which say nothing
    #[arg(long, value_name = "X", value_parser = parse_speedup)]
    pub speedup: Option<f64>,
    /// Fails answers that are not the token stream of warmpath's simulated workers
    #[arg(long)]
    pub check_tokens: bool,
    #[arg(long, value_name = "N", value_parser = parse_whole::<u64>, default_value_t = 1, help = "Seed of everything that is drawn")]
    pub seed: u64,
    /// Goes into every text, so that a run finds nothing that an earlier one left in the target's
    /// caches; a fresh one unless given, and printed. The same again sends the same texts
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32>)]
    pub nonce: Option<u32>,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes one row a request as Parquet
    #[arg(long, value_name = "FILE")]
    pub parquet: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// A log that a router wrote with --record
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
}

/// The least and the greatest.
pub const SPEEDUPS: (f64, f64) = (1e-3, 1e4);

#[derive(Clone, Copy, Debug)]
pub struct HbmTokens(pub Option<u64>);

fn parse_tokens(text: &str) -> Result<HbmTokens, String> {
    if text == "unlimited" {
        return Ok(HbmTokens(None));
    }
    let expected = "expected a whole number above 0 or \"unlimited\"";
    let tokens: u64 = text.replace('_', "").parse().map_err(|_| expected.to_owned())?;
    if tokens == 0 { Err(expected.into()) } else { Ok(HbmTokens(Some(tokens))) }
}

/// Times a rate: from a millionth to a million.
fn parse_scale(text: &str) -> Result<f64, String> {
    parse_within(text, 1e-6, 1e6)
}

/// As routers and workers take it.
fn parse_speedup(text: &str) -> Result<f64, String> {
    parse_within(text, SPEEDUPS.0, SPEEDUPS.1)
}

fn parse_within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| format!("expected a number from {least} to {most}"))
}

fn parse_whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number of 0 or more".to_owned())
}

fn parse_count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number above 0".to_owned())
}

fn parse_tenants(text: &str) -> Result<u32, String> {
    let tenants = text.parse().ok().filter(|tenants| (1..=Tenants::MOST).contains(tenants));
    tenants.ok_or_else(|| format!("expected 1 to {}", Tenants::MOST))
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let expected = || "expected seconds, 0 or more".to_owned();
    let value: f64 = text.parse().map_err(|_| expected())?;
    if (0.0..=1e9).contains(&value) { Ok(value) } else { Err(expected()) }
}

pub fn parse_policies(names: &[String]) -> Result<Vec<PolicyConfig>, String> {
    if names == ["all"] {
        return Ok(PolicyConfig::ALL.to_vec());
    }
    let mut policies: Vec<PolicyConfig> = Vec::new();
    for name in names {
        let policy = name.trim().parse().map_err(|error| format!("--policies: {error}"))?;
        if policies.contains(&policy) {
            return Err(format!("--policies: {policy} is named twice"));
        }
        policies.push(policy);
    }
    Ok(policies)
}
