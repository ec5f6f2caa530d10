//! `loadgen advise`: the command of [`crate::studies::advise`].

use crate::args::Question;
use crate::play::Progress;
use crate::report::Screen;
use crate::studies::advise::{self, Params};
use anyhow::Result;
use std::process::ExitCode;

/// Advises which option is cheapest for a workload: a cluster that shares KV cache, users' own
/// devices, or both. Shows the costs, and what would change the answer
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, for ten million requests a month:
  loadgen advise --workload chat --monthly-requests 10_000_000")]
pub struct Args {
    #[command(flatten)]
    pub question: Question,
    /// Requests per month [default: computed from the workload's rate, taken as the rate at the
    /// busiest time]
    #[arg(long, value_name = "N", value_parser = parse_amount)]
    pub monthly_requests: Option<f64>,
    /// Rate at the busiest time divided by the mean rate of the month, 1 to 1000
    #[arg(long, value_name = "X", default_value_t = 3.0, value_parser = parse_peak)]
    pub peak: f64,
    /// Number of users, each with a device [default: one per 1000 requests per month]
    #[arg(long, value_name = "N", value_parser = parse_amount)]
    pub users: Option<f64>,
    /// Profile of the users' devices: a name, or a profile file (TOML) [default: the scenario's]
    #[arg(long, value_name = "NAME")]
    pub device_profile: Option<String>,
    /// Share of a device's price and idle power that is charged: from 0 (users own it anyway) to 1
    /// (bought for this) [default: the price sheet's]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub charged_share: Option<f64>,
    /// Number of seeds, 1 to 100; a band goes from the lowest to the highest result over them
    /// [default: 3; 1 for a trace, which is the same for each seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: Option<u64>,
}

fn parse_amount(text: &str) -> Result<f64, String> {
    let value = text.replace('_', "").parse().ok().filter(|value| (1.0..=1e15).contains(value));
    value.ok_or_else(|| "expected a number of at least 1".to_owned())
}

fn parse_peak(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (1.0..=1e3).contains(value));
    value.ok_or_else(|| "expected a number from 1 to 1000".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1".to_owned())
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let params = Params {
        question: &args.question,
        monthly_requests: args.monthly_requests,
        peak: args.peak,
        users: args.users,
        device_profile: args.device_profile.as_deref(),
        charged_share: args.charged_share,
        seeds: args.seeds,
    };
    advise::run(&params, progress, screen)
}
