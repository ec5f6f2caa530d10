//! `loadgen sharing`: the command of [`crate::studies::sharing`].

use crate::args::Question;
use crate::play::Progress;
use crate::report::Screen;
use crate::studies::sharing::{self, Params};
use anyhow::Result;
use std::process::ExitCode;

/// Measures what each kind of sharing is worth on a workload, from users' own devices to a shared
/// pool
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, a ladder of what is shared, for 20 tenants:
  loadgen sharing --workload enterprise-kb --tenants 20")]
pub struct Args {
    #[command(flatten)]
    pub question: Question,
    /// Searches for cases in which a shared pool makes a fleet five times as fast. Varies the share
    /// of reused tokens, prompt length, pool bandwidth, fleet size and memory. Replaces the ladder
    #[arg(long)]
    pub sweep: bool,
    /// Number of seeds, 1 to 100. With several, figures are means with 95 % intervals [default: 3; 1 for a trace, which is
    /// the same for each seed, and for --sweep]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: Option<u64>,
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let Args { question, sweep, seeds } = args;
    let params = Params { question, sweep: *sweep, seeds: *seeds };
    sharing::run(&params, progress, screen)
}
