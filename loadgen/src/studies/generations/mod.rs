//! `loadgen generations`: one workload and one model on chips of several generations and makers, by
//! tokens per second and cost. A device without measurements is a band: from a share of its maker's
//! peaks (`--realization`) to all of them.

mod plots;
mod row;
mod sheet;

use crate::args::Question;
use crate::files::{bad, bad_lines};
use crate::play::Progress;
use crate::play::parallel;
use crate::report::Screen;
use crate::setup::Fleet;
use crate::setup::Setup;
use crate::studies::deploy::on_fewest_chips;
use crate::studies::measure::{self, at_slo};
use crate::studies::question;
use anyhow::Result;
use row::{CHIPS, Row};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::engine::physics::{Deployment, Device, Model, Precision};
use warmpath_core::engine::profile::Profile;
use warmpath_launch::profiles;
use warmpath_sheet::{Sheet, render};

const SCHEMA: &str = "warmpath.generations.v1";

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    config: &'a Setup,
    realization: f64,
    rows: &'a [Row],
}

struct Case {
    device: Device,
    deployment: Deployment,
    profile: Profile,
}

/// What to compare.
#[derive(Debug)]
pub struct Params<'a> {
    pub question: &'a Question,
    /// Names of devices; the others are compared with the first.
    pub devices: &'a [String],
    /// Lowest efficiency assumed for a device without measurements, as a share of its maker's peaks.
    pub realization: f64,
}

pub fn run(asked: &Params<'_>, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let whole = question::resolve(asked.question)?;
    let files = question::files(asked.question, screen)?;
    let Some(calibrated) = whole.fleet.profile().step.calibrated() else {
        return Err(bad(
            "--profile: a made-up profile, expected a profile with a device and a model",
        ));
    };
    let of = calibrated.deployment().clone();
    let model = profiles::model(calibrated.model(), Path::new("")).map_err(bad_lines)?;
    let mut cases = Vec::new();
    for name in asked.devices {
        let device = profiles::device(name.trim(), Path::new("")).map_err(bad_lines)?;
        let block_size = whole.fleet.profile().block_size;
        cases.push(case(device, &model, &of, block_size)?);
    }
    let shares = |case: &Case| match case.profile.validated {
        true => [case.device.realization; 2],
        false => [asked.realization * case.device.realization, case.device.realization],
    };
    let work: Vec<(usize, f64)> = cases
        .iter()
        .enumerate()
        .flat_map(|(i, case)| {
            let [low, high] = shares(case);
            if low == high { vec![(i, high)] } else { vec![(i, low), (i, high)] }
        })
        .collect();
    let bar = progress.start(work.len() as u64, "generations", "searches");
    let ended = AtomicU64::new(0);
    let found = parallel::map(&work, |&(i, share)| {
        let found = figures(&whole, &cases[i], &model, share);
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        found
    });
    drop(bar);
    let found = found.into_iter().collect::<Result<Vec<_>>>()?;
    let ends = |i: usize| {
        let mut all =
            work.iter().zip(&found).filter(|((of, _), _)| *of == i).map(|(_, found)| *found);
        let low = all.next().expect("each case is played");
        [low, all.next().unwrap_or(low)]
    };
    let base = ends(0);
    let base_usd = base[1].usd_per_m;
    let rows: Vec<Row> =
        cases.iter().enumerate().map(|(i, case)| row(&whole, case, ends(i), base_usd)).collect();
    let page = sheet::page(&whole, &rows, asked.realization);
    screen.show_with(&page, |document| plots::add(document, &whole, &rows))?;
    if let Some(file) = files.csv {
        file.finish(render::csv(&sheet::data(&rows)).as_bytes())?;
    }
    if let Some(file) = files.json {
        let report =
            Report { schema: SCHEMA, config: &whole, realization: asked.realization, rows: &rows };
        let mut bytes = serde_json::to_vec_pretty(&report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every table without rows, with all the columns that it can have.
pub fn blanks() -> Vec<Sheet> {
    vec![sheet::blank()]
}

/// The model on as few chips of a device as leave room for KV, in the narrowest format that doubles its
/// speed.
fn case(device: Device, model: &Model, of: &Deployment, block_size: u32) -> Result<Case> {
    let peaks = device.peak_tflops;
    let precision = match (peaks.fp4, peaks.fp8) {
        (Some(fp4), Some(fp8)) if fp4 > fp8 => Precision::Nvfp4,
        (_, Some(_)) => Precision::Fp8,
        _ => Precision::Bf16,
    };
    let of = Deployment { precision, block_size, ..of.clone() };
    let (deployment, profile) =
        on_fewest_chips(&device, model, &of).map_err(|why| bad(format!("--devices: {why}")))?;
    Ok(Case { device, deployment, profile })
}

#[derive(Clone, Copy, Debug)]
struct Found {
    tokens: Option<f64>,
    usd_per_m: Option<f64>,
    kwh_per_m: Option<f64>,
}

fn figures(whole: &Setup, case: &Case, model: &Model, realization: f64) -> Result<Found> {
    let device = Device { realization, ..case.device.clone() };
    let profile = Profile::build(&device, model, &case.deployment)
        .map_err(|error| bad(format!("device {}: {error}", device.name)))?;
    let mut setup = whole.clone();
    setup.fleet = Fleet::alike(CHIPS / case.deployment.tp, profile);
    (setup.pool, setup.devices) = (None, None);
    let found = at_slo(&setup, measure::BOUNDS)?;
    let kwh = found.economics().and_then(|economics| economics.kwh_per_m.served);
    Ok(Found {
        tokens: found.throughput(CHIPS).map(|throughput| throughput.served),
        usd_per_m: found.usd_per_m().map(|[served, _]| served),
        kwh_per_m: kwh.filter(|kwh| kwh.is_finite()),
    })
}

fn row(whole: &Setup, case: &Case, ends: [Found; 2], base_usd_per_m: Option<f64>) -> Row {
    let standing = case.profile.standing();
    let sheet = whole.prices.as_ref().expect("a question has prices");
    let price = case
        .profile
        .hardware()
        .map(|chips| sheet.cluster(chips).busy.usd_per_hour / f64::from(chips.chips));
    // What a chip serves in an hour, at the first device's cost per million tokens.
    let break_even = |found: Found| Some(base_usd_per_m? * found.tokens? * 3600.0 / 1e6);
    Row {
        device: case.device.name.clone(),
        precision: case.deployment.precision,
        tp: case.deployment.tp,
        validated: standing.validated,
        because: standing.because,
        usd_per_chip_hour: price.filter(|usd| usd.is_finite()),
        tokens_per_s_per_chip: ends.map(|found| found.tokens),
        usd_per_m_served: ends.map(|found| found.usd_per_m),
        kwh_per_m_served: ends.map(|found| found.kwh_per_m),
        break_even_usd_per_hour: ends.map(break_even),
    }
}
