//! `loadgen fit`: the command of [`crate::fidelity::fit`].

use crate::fidelity::{self, FitParams};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Fits a device's constants to step times that you measured, and writes its device file
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, for a device whose peaks are in mine.toml:
  loadgen fit steps.csv --device mine.toml --output fitted.toml")]
pub struct Args {
    /// Step times (CSV) with the columns gpu, model, tp, precision, kv_dtype, phase, batch, input_len,
    /// prefix_len, context, ms
    #[arg(value_name = "FILE")]
    pub steps: PathBuf,
    /// The device that was measured: a name, or a device file (TOML) with its peaks
    #[arg(long, value_name = "NAME")]
    pub device: String,
    /// Times of single kernels (CSV) to start the fit from [default: start from the constants common
    /// to all measured devices]
    #[arg(long, value_name = "FILE")]
    pub kernels: Option<PathBuf>,
    /// Device file to write (TOML)
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    fidelity::fit(&FitParams {
        steps: &args.steps,
        device: &args.device,
        kernels: args.kernels.as_deref(),
        output: &args.output,
    })?;
    Ok(ExitCode::SUCCESS)
}
