//! `loadgen fidelity`: the model of engine times held against measurements, and `loadgen fit`: a
//! device's constants from measurements of one's own.

mod carried;
mod composition;
mod errors;
mod fit;
mod loading;
mod params;
mod published;
mod reference;
mod render;
mod render_whole;
mod served;
mod served_run;
mod solve;
mod steps;
mod whole;
mod whole_fit;
mod write;

use crate::files::PendingFile;
use crate::progress::Progress;
use anyhow::Result;
use carried::WholeSteps;
use reference::{Known, Reference};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use whole::Whole;

pub use write::{Args as FitArgs, run as fit};

pub const SCHEMA: &str = "warmpath.fidelity.v1";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of further measurements: steps.csv (whole steps, as those that are carried),
    /// engine_steps.csv, kernels.csv, served_latency.csv, decode_anchors.csv, kv_transfer.csv,
    /// on_device.csv, breakeven.csv, as far as there are any
    #[arg(long, value_name = "DIR")]
    pub reference: Option<PathBuf>,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub schema: &'static str,
    pub files: Vec<String>,
    /// What the program carries measurements of.
    pub carried: carried::Carried,
    /// Whole steps of the folder.
    pub whole: carried::WholeSteps,
    pub steps: steps::Steps,
    pub served: served::AllServed,
    pub published: published::Published,
    /// Devices, models and formats that no row here describes, with how many rows name them.
    pub unknown: BTreeMap<String, u32>,
}

pub fn run(args: &Args) -> Result<()> {
    let reference = args.reference.as_deref().map(Reference::read).transpose()?;
    let reference = reference.unwrap_or_default();
    let json = args.json.as_deref().map(PendingFile::create).transpose()?;
    let mut known = Known::default();
    let carried = carried::evaluate(&mut known)?;
    let rows: Vec<Whole> =
        reference.whole.iter().filter_map(|row| Whole::understand(row, &mut known)).collect();
    let whole = WholeSteps::evaluate(&rows, &known);
    let steps = steps::evaluate(&reference, &mut known, &Progress);
    let served = served::evaluate(&reference, &mut known, &Progress);
    let published = published::evaluate(&reference, &mut known);
    let Reference { files, .. } = reference;
    let unknown = known.unknown;
    let report =
        Report { schema: SCHEMA, files, carried, whole, steps, served, published, unknown };
    print!("{}", render::render(&report));
    if let Some(file) = json {
        let mut bytes = serde_json::to_vec_pretty(&report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    Ok(())
}
