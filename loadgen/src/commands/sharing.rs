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
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let params = Params { question: &args.question, sweep: args.sweep };
    sharing::run(&params, progress, screen)
}
