//! `fit`: the command of [`crate::fidelity::fit`].

use crate::fidelity::{self, FitParams};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Fits a device's constants to step times that you measured, and writes its profile
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Step times (CSV): gpu, model, tp, precision, kv_dtype, phase, batch, input_len, prefix_len,
    /// context, ms
    #[arg(value_name = "FILE")]
    pub steps: PathBuf,
    /// The device the times are of: a name, or a device file (TOML) with its peaks
    #[arg(long, value_name = "NAME")]
    pub device: String,
    /// Times of single kernels (CSV) to start from; without them the constants start from what is
    /// common to all measured devices
    #[arg(long, value_name = "FILE")]
    pub kernels: Option<PathBuf>,
    /// Where to write the device file
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
