//! `loadgen fidelity`: the model of engine times held against measurements, and `loadgen fit`: a
//! device's constants from measurements of one's own.

mod error_columns;
mod errors;
mod fit;
mod gates_sheet;
mod params;
mod published;
mod published_sheet;
mod reference;
mod render;
mod report;
mod routing;
mod served;
mod served_sheet;
mod solve;
mod steps;
mod steps_sheet;
mod write;

use crate::files::PendingFile;
use crate::play::Progress;
use crate::report::Screen;
use anyhow::Result;
use reference::{Known, Reference};
use report::{Report, SCHEMA};
use std::path::Path;

pub use render::blanks;
pub use write::{Params as FitParams, run as fit};

/// Compares the engine times with the measurements in a folder. `json`: where to write the report.
pub fn run(reference: &Path, json: Option<&Path>, screen: Screen) -> Result<()> {
    let reference = Reference::read(reference)?;
    let json = json.map(PendingFile::create).transpose()?;
    let mut known = Known::default();
    let steps = steps::evaluate(&reference, &mut known, &Progress);
    let served = served::evaluate(&reference, &mut known, &Progress);
    let published = published::evaluate(&reference, &mut known);
    let routing = routing::evaluate(&reference.routing)?;
    let Reference { files, .. } = reference;
    let unknown = known.unknown;
    let report = Report { schema: SCHEMA, files, steps, served, published, routing, unknown };
    screen.show(&render::page(&report));
    if let Some(file) = json {
        let mut bytes = serde_json::to_vec_pretty(&report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    Ok(())
}
