//! Whole engine steps, compared with the constants as shipped, with constants fitted to the same
//! rows, and with each model left out of the fit in turn.

use crate::fidelity::errors::{Errors, Named};
use crate::fidelity::fit::{Measured, Step, Timed, predict};
use crate::fidelity::reference::{Known, Reference};
use crate::play::Progress;
use crate::play::parallel;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::engine::physics::{Device, Precision};

/// A line of the table.
#[derive(Debug, Serialize)]
pub struct Group {
    pub device: String,
    pub model: String,
    pub precision: Precision,
    pub phase: String,
    pub provenance: String,
    /// With the constants in `deploy/profiles`.
    pub shipped: Errors,
    /// With constants fitted to the rows at hand.
    pub fitted: Errors,
    /// With constants fitted without this model. None: no other model has this device and precision.
    pub left_out: Option<Errors>,
}

/// All rows of one phase together.
#[derive(Debug, Serialize)]
pub struct Phase {
    pub phase: String,
    pub provenance: String,
    pub shipped: Errors,
    pub fitted: Errors,
    pub left_out: Option<Errors>,
}

#[derive(Debug, Default, Serialize)]
pub struct Steps {
    pub groups: Vec<Group>,
    pub totals: Vec<Phase>,
    /// Devices and precisions with one measured model, so that none can be left out.
    pub one_model_only: Vec<String>,
    pub suspect_rows_left_out: usize,
    /// Number of rows of other engines, by engine. The constants are not fitted to them.
    pub other_engines: BTreeMap<String, usize>,
}

/// A device with or without one of its models.
struct Job<'a> {
    device: &'a str,
    without: Option<&'a str>,
}

pub fn evaluate(reference: &Reference, known: &mut Known, progress: &Progress) -> Steps {
    let mut result = Steps::default();
    let mut steps = Vec::new();
    for row in &reference.steps {
        if row.provenance == "suspect" {
            result.suspect_rows_left_out += 1;
        } else if !row.is_of_this_engine() {
            *result.other_engines.entry(row.backend.clone()).or_default() += 1;
        } else {
            steps.extend(Step::understand(row, known));
        }
    }
    let kernels = kernels(reference, known);
    let devices: BTreeSet<&str> = steps.iter().map(|step| step.device.as_str()).collect();
    let mut jobs = Vec::new();
    for &device in &devices {
        let of_device = || steps.iter().filter(move |step| step.device == device);
        jobs.push(Job { device, without: None });
        let models: BTreeSet<&str> = of_device().map(|step| step.model.as_str()).collect();
        let shared = |model: &&str| {
            of_device().any(|step| {
                let precision = step.placement.precision;
                let other =
                    |one: &Step| one.placement.precision == precision && one.model != *model;
                step.model == *model && of_device().any(other)
            })
        };
        jobs.extend(
            models.into_iter().filter(shared).map(|model| Job { device, without: Some(model) }),
        );
    }
    let bar = progress.start(jobs.len() as u64, "fitting constants", "fits");
    let done = AtomicU64::new(0);
    let fits: Vec<Device> = parallel::map(&jobs, |job| {
        let wanted = |step: &&Step| {
            step.device == job.device
                && step.is_to_be_fitted()
                && job.without.is_none_or(|model| step.model != model)
        };
        let measured = Measured {
            hardware: &known.devices[job.device],
            models: &known.models,
            kernels: kernels.get(job.device).map_or(&[], Vec::as_slice),
        };
        let fitted = measured.fit(&steps.iter().filter(wanted).collect::<Vec<_>>());
        bar.set(done.fetch_add(1, Ordering::Relaxed) + 1);
        fitted
    });
    drop(bar);
    let fits: BTreeMap<(&str, Option<&str>), Device> =
        jobs.iter().map(|job| (job.device, job.without)).zip(fits).collect();
    tabulate(&steps, known, &fits, &mut result);
    result
}

pub fn kernels(reference: &Reference, known: &mut Known) -> BTreeMap<String, Vec<Timed>> {
    let mut kernels: BTreeMap<String, Vec<Timed>> = BTreeMap::new();
    for row in reference.kernels.iter().filter(|row| row.provenance != "suspect") {
        if let Some(device) = known.device(&row.gpu)
            && let Some(timed) = Timed::understand(row)
        {
            kernels.entry(device).or_default().push(timed);
        }
    }
    kernels
}

/// The errors in one line: shipped, fitted, left out.
type Columns = [Vec<Named>; 3];

fn tabulate(
    steps: &[Step],
    known: &Known,
    fits: &BTreeMap<(&str, Option<&str>), Device>,
    result: &mut Steps,
) {
    let mut models: BTreeMap<(&str, Precision), BTreeSet<&str>> = BTreeMap::new();
    for step in steps {
        let key = (step.device.as_str(), step.placement.precision);
        models.entry(key).or_default().insert(&step.model);
    }
    let mut groups: BTreeMap<(&str, Precision, &str, &str, &str), Columns> = BTreeMap::new();
    for step in steps {
        let (device, model) = (step.device.as_str(), step.model.as_str());
        let precision = step.placement.precision;
        let key = (device, precision, model, step.row.phase.as_str(), step.row.provenance.as_str());
        let alone = models[&(device, precision)].len() < 2;
        let left_out = fits.get(&(device, Some(model))).filter(|_| !alone);
        let with = [Some(&known.devices[device]), fits.get(&(device, None)), left_out];
        let columns = groups.entry(key).or_default();
        for (column, device) in columns.iter_mut().zip(with) {
            let Some(device) = device else { continue };
            let ms = predict(device, &known.models, &[step])[0];
            column.push((name(step), ms / step.row.ms - 1.0));
        }
    }
    let mut totals: BTreeMap<(&str, &str), Columns> = BTreeMap::new();
    for (&(device, precision, model, phase, provenance), columns) in &groups {
        let total = totals.entry((provenance, phase)).or_default();
        for (total, column) in total.iter_mut().zip(columns) {
            total.extend(column.iter().cloned());
        }
        let [shipped, fitted, left_out] = columns.each_ref().map(|column| Errors::of(column));
        let (Some(shipped), Some(fitted)) = (shipped, fitted) else { continue };
        result.groups.push(Group {
            device: known.devices[device].name.clone(),
            model: known.models[model].name.clone(),
            precision,
            phase: phase.to_owned(),
            provenance: provenance.to_owned(),
            shipped,
            fitted,
            left_out,
        });
    }
    for ((provenance, phase), columns) in totals {
        let [shipped, fitted, left_out] = columns.each_ref().map(|column| Errors::of(column));
        let (Some(shipped), Some(fitted)) = (shipped, fitted) else { continue };
        let (phase, provenance) = (phase.to_owned(), provenance.to_owned());
        result.totals.push(Phase { phase, provenance, shipped, fitted, left_out });
    }
    for ((device, precision), models) in models {
        if models.len() < 2 {
            let model = models.into_iter().collect::<String>();
            let device = &known.devices[device].name;
            result.one_model_only.push(format!("{device} {precision} ({model})"));
        }
    }
}

pub fn name(step: &Step) -> String {
    let row = &step.row;
    let what = match row.phase.as_str() {
        "decode" => format!("{} x {} tokens of context", row.batch, row.context),
        "mixed" => format!("{} + {} x {}", row.input_len, row.batch, row.context),
        _ if row.prefix_len > 0 => {
            format!("{} x {} behind {}", row.batch, row.input_len, row.prefix_len)
        }
        _ => format!("{} x {}", row.batch, row.input_len),
    };
    format!("{} {} tp{} {what}", row.model, row.precision, row.tp)
}
