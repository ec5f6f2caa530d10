//! `advise`: the command of [`crate::studies::advise`].

use crate::args::Question;
use crate::play::Progress;
use crate::report::Screen;
use crate::studies::advise::{self, Params};
use anyhow::Result;
use std::process::ExitCode;

/// A cluster that shares, users' own devices, or both: which, at what cost, and what would turn
/// the answer round
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub question: Question,
    /// Requests a month; unless given, what the workload's own rate makes if it is the peak's
    #[arg(long, value_name = "N", value_parser = parse_amount)]
    pub monthly_requests: Option<f64>,
    /// The busiest time's rate over the month's mean
    #[arg(long, value_name = "X", default_value_t = 3.0, value_parser = parse_peak)]
    pub peak: f64,
    /// People behind the requests, each with a device; one for each 1000 requests a month unless given
    #[arg(long, value_name = "N", value_parser = parse_amount)]
    pub users: Option<f64>,
    /// The users' devices: a profile by name, or a profile file (TOML)
    #[arg(long, value_name = "NAME")]
    pub device_profile: Option<String>,
    /// Of a device's price and idle power, what is charged: 0, its users have it anyway, to 1, it was
    /// bought for this; the price sheet's unless given
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub charged_share: Option<f64>,
    /// Seeds over which the bands go; 3 unless given, and 1 for a trace, which is the same with each
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
