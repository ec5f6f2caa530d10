//! `loadgen fidelity`: the model of engine times held against measurements, and `loadgen fit`: a
//! device's constants from measurements of one's own.

mod errors;
mod fit;
mod params;
mod published;
mod reference;
mod render;
mod served;
mod solve;
mod steps;
mod write;

use crate::files::PendingFile;
use crate::progress::Progress;
use anyhow::Result;
use reference::{Known, Reference};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub use write::{Args as FitArgs, run as fit};

pub const SCHEMA: &str = "warmpath.fidelity.v1";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of measurements: engine_steps.csv, kernels.csv, served_latency.csv,
    /// decode_anchors.csv, kv_transfer.csv, on_device.csv, breakeven.csv, as far as there are any
    #[arg(long, value_name = "DIR", default_value = "reference")]
    pub reference: PathBuf,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub schema: &'static str,
    pub files: Vec<String>,
    pub steps: steps::Steps,
    pub served: served::AllServed,
    pub published: published::Published,
    /// Devices, models and formats that no row here describes, with how many rows name them.
    pub unknown: BTreeMap<String, u32>,
}

pub fn run(args: &Args) -> Result<()> {
    let reference = Reference::read(&args.reference)?;
    let json = args.json.as_deref().map(PendingFile::create).transpose()?;
    let mut known = Known::default();
    let steps = steps::evaluate(&reference, &mut known, &Progress);
    let served = served::evaluate(&reference, &mut known, &Progress);
    let published = published::evaluate(&reference, &mut known);
    let Reference { files, .. } = reference;
    let report = Report { schema: SCHEMA, files, steps, served, published, unknown: known.unknown };
    print!("{}", render::render(&report));
    if let Some(file) = json {
        let mut bytes = serde_json::to_vec_pretty(&report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    Ok(())
}
