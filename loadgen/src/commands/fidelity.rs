//! `loadgen fidelity`: the command of [`crate::fidelity`].

use crate::fidelity::{self, Places};
use crate::play::Progress;
use crate::report::Screen;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares the timing model with measurements
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  loadgen fidelity --reference reference --json fidelity.json")]
pub struct Args {
    /// A folder of more measurements than the program carries: steps.csv (whole steps),
    /// engine_steps.csv, kernels.csv, served_latency.csv, decode_anchors.csv, kv_transfer.csv,
    /// on_device.csv, breakeven.csv, routing_capacity.csv, as far as there are any
    #[arg(long, value_name = "DIR")]
    pub reference: Option<PathBuf>,
    /// Whole steps that you measured (CSV), as `loadgen measure` writes them
    #[arg(long, value_name = "FILE")]
    pub measured: Option<PathBuf>,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let places =
        Places { reference: args.reference.as_deref(), measured: args.measured.as_deref() };
    fidelity::run(places, args.json.as_deref(), progress, screen)?;
    Ok(ExitCode::SUCCESS)
}
