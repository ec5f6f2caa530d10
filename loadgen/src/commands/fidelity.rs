//! `loadgen fidelity`: the command of [`crate::fidelity`].

use crate::fidelity;
use crate::report::Screen;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares the timing model with measurements
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  loadgen fidelity --reference reference --json fidelity.json")]
pub struct Args {
    /// Folder of measurements with one or more of: engine_steps.csv, kernels.csv, served_latency.csv,
    /// decode_anchors.csv, kv_transfer.csv, on_device.csv, breakeven.csv, routing_capacity.csv
    #[arg(long, value_name = "DIR", default_value = "reference")]
    pub reference: PathBuf,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub fn run(args: &Args, screen: Screen) -> Result<ExitCode> {
    fidelity::run(&args.reference, args.json.as_deref(), screen)?;
    Ok(ExitCode::SUCCESS)
}
