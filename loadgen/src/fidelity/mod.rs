//! `loadgen fidelity`: the model of engine times held against measurements, and `loadgen fit`: a
//! device's constants from measurements of one's own.

mod errors;
mod fit;
mod params;
mod reference;
mod solve;
mod steps;
mod write;

use crate::progress::Progress;
use anyhow::Result;
use reference::{Known, Reference};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of measurements: engine_steps.csv, kernels.csv, served_latency.csv and others
    #[arg(long, value_name = "DIR")]
    pub reference: PathBuf,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub use write::{Args as FitArgs, run as fit};

pub fn run(args: &Args) -> Result<()> {
    let reference = Reference::read(&args.reference)?;
    let mut known = Known::default();
    let steps = steps::evaluate(&reference, &mut known, &Progress);
    println!("{}", serde_json::to_string_pretty(&steps)?);
    Ok(())
}
