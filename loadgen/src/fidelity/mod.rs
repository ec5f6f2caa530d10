//! `loadgen fidelity`: the model of engine times held against measurements, and `loadgen fit`: a
//! device's constants from measurements of one's own.

mod carried;
mod composition;
mod error_columns;
mod errors;
mod fit;
mod gates_sheet;
mod loading;
mod loading_sheet;
mod params;
mod published;
mod published_sheet;
mod reference;
mod render;
mod report;
mod routing;
mod served;
mod served_case;
mod served_fit;
mod served_left_out;
mod served_left_out_sheet;
mod served_run;
mod served_run_sheet;
mod served_sheet;
mod solve;
mod steps;
mod steps_sheet;
mod whole;
mod whole_fit;
mod whole_sheet;
mod write;
mod write_whole;

use crate::files::PendingFile;
use crate::play::Progress;
use crate::report::Screen;
use anyhow::Result;
use carried::WholeSteps;
use reference::{Known, Reference};
use report::{Report, SCHEMA};
use std::path::Path;
use whole::Whole;

pub use render::blanks;
pub use write::{Params as FitParams, run as fit};

/// Where measurements lie that the program does not carry.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// A folder of files with known names.
    pub reference: Option<&'a Path>,
    /// A file of whole steps.
    pub measured: Option<&'a Path>,
}

/// Compares the engine times with the measurements that the program carries, and with those at `places`.
/// `json`: where to write the report.
pub fn run(
    places: Places<'_>,
    json: Option<&Path>,
    progress: &Progress,
    screen: Screen,
) -> Result<()> {
    let mut reference = places.reference.map(Reference::read).transpose()?.unwrap_or_default();
    if let Some(file) = places.measured {
        reference.read_whole(file)?;
    }
    let json = json.map(PendingFile::create).transpose()?;
    let mut known = Known::default();
    let carried = carried::evaluate(&mut known)?;
    let rows: Vec<Whole> =
        reference.whole.iter().filter_map(|row| Whole::understand(row, &mut known)).collect();
    let whole = WholeSteps::evaluate(&rows, &known);
    let steps = steps::evaluate(&reference, &mut known, progress);
    let served = served::evaluate(&reference, &mut known, progress);
    let published = published::evaluate(&reference, &mut known);
    let routing = routing::evaluate(&reference.routing)?;
    let Reference { files, .. } = reference;
    let unknown = known.unknown;
    let report = Report {
        schema: SCHEMA,
        files,
        carried,
        whole,
        steps,
        served,
        published,
        routing,
        unknown,
    };
    let page = render::page(&report);
    screen.show_with(&page, |document| document.answer.headline = render::headline(&page))?;
    if let Some(file) = json {
        let mut bytes = serde_json::to_vec_pretty(&report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    Ok(())
}
