//! `loadgen generations`: the command of [`crate::studies::generations`].

use crate::args::Question;
use crate::play::Progress;
use crate::report::Screen;
use crate::studies::generations::{self, Params};
use anyhow::Result;
use std::process::ExitCode;

/// Compares chips of several generations on one workload: tokens per second, and their cost
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, three devices, with a price for one of them:
  loadgen generations --workload chat --devices h100,h200,b200 --price b200=6.50")]
pub struct Args {
    #[command(flatten)]
    pub question: Question,
    /// Devices to compare, separated by commas; each is compared with the first
    #[arg(
        long,
        value_name = "A,B,...",
        value_delimiter = ',',
        default_value = "b200,gb300,vera-rubin,h200,h100,mi300x,tpu7x,trainium3"
    )]
    pub devices: Vec<String>,
    /// Lowest efficiency assumed for a device without measurements, as a share of its peak rates,
    /// 0.01 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = parse_share)]
    pub realization: f64,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.01..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0.01 to 1".to_owned())
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let params =
        Params { question: &args.question, devices: &args.devices, realization: args.realization };
    generations::run(&params, progress, screen)
}
