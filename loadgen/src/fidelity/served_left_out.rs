//! Served systems whose model or device was left out of the fit of what served systems tell.

use crate::fidelity::errors::{Errors, Named};
use crate::fidelity::served_case::{Case, Measured};
use crate::fidelity::served_fit::{Param, Played, fit};
use crate::play::parallel;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use warmpath_core::engine::physics::Device;

/// A line of the table: errors of TPOT of some of the rows.
#[derive(Debug, Serialize)]
pub struct Group {
    pub what: String,
    /// With the constants as they are shipped.
    pub shipped: Errors,
    /// With constants fitted to all rows, these included.
    pub fitted: Errors,
    /// With constants fitted without any row of the same model. None: there is no other model.
    pub model_left_out: Option<Errors>,
    /// With constants fitted without any row of the same device. None: there is no other device.
    pub device_left_out: Option<Errors>,
}

/// A constant that was fitted to served systems, and what it is without some of them.
#[derive(Debug, Serialize)]
pub struct Constant {
    pub name: String,
    pub shipped: f64,
    pub fitted: f64,
    /// By the model or device that was left out.
    pub without: BTreeMap<String, f64>,
}

#[derive(Debug, Default, Serialize)]
pub struct ServedLeftOut {
    pub groups: Vec<Group>,
    pub constants: Vec<Constant>,
}

/// What is left out of a fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Without<'a> {
    Nothing,
    Model(&'a str),
    Device(&'a str),
}

impl<'a> Without<'a> {
    fn has(self, case: &Case<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Model(name) => case.model.name == name,
            Self::Device(name) => case.device.name == name,
        }
    }

    const fn name(self) -> Option<&'a str> {
        match self {
            Self::Nothing => None,
            Self::Model(name) | Self::Device(name) => Some(name),
        }
    }
}

/// Rows of vLLM with the times that were played for them, named.
pub type Row<'a> = (&'a Case<'a>, Measured, String);

/// Fits to all rows, then without each model and without each device, and plays what was left out again.
pub fn evaluate(rows: &[Row<'_>], devices: &BTreeMap<String, Device>) -> ServedLeftOut {
    let played: Vec<Played<'_>> = rows.iter().filter_map(|(case, got, _)| of(case, *got)).collect();
    if played.len() < rows.len() || rows.is_empty() {
        return ServedLeftOut::default();
    }
    let models: BTreeSet<&str> = rows.iter().map(|(case, ..)| case.model.name.as_str()).collect();
    let names: BTreeSet<&str> = rows.iter().map(|(case, ..)| case.device.name.as_str()).collect();
    // One alone leaves nothing to fit to.
    let more = |names: &BTreeSet<&str>| names.len() > 1;
    let mut all = vec![Without::Nothing];
    all.extend(models.iter().filter(|_| more(&models)).map(|model| Without::Model(model)));
    all.extend(names.iter().filter(|_| more(&names)).map(|device| Without::Device(device)));
    let fits: Vec<BTreeMap<String, Device>> = parallel::map(&all, |without| {
        let kept = rows.iter().zip(&played).filter(|((case, ..), _)| !without.has(case));
        fit(devices, &kept.map(|(_, played)| played).collect::<Vec<_>>())
    });
    let mut jobs = Vec::new();
    for (fit, without) in all.iter().enumerate() {
        let is_it = |i: &usize| *without == Without::Nothing || without.has(rows[*i].0);
        jobs.extend((0..rows.len()).filter(is_it).map(|i| (fit, i)));
    }
    let found: Vec<Option<f64>> = parallel::map(&jobs, |&(fit, i)| {
        let (case, ..) = &rows[i];
        let got = case.again(&fits[fit][&case.row.gpu])?;
        Some(got.tpot_ms / played[i].measured_ms - 1.0)
    });
    let mut columns: [Vec<Option<f64>>; 4] = std::array::from_fn(|_| vec![None; rows.len()]);
    for (i, row) in played.iter().enumerate() {
        columns[0][i] = Some(row.played_ms / row.measured_ms - 1.0);
    }
    for (&(fit, i), error) in jobs.iter().zip(found) {
        let column = match all[fit] {
            Without::Nothing => 1,
            Without::Model(_) => 2,
            Without::Device(_) => 3,
        };
        columns[column][i] = error;
    }
    let groups = groups(&models, &names);
    ServedLeftOut {
        groups: groups.iter().filter_map(|(what, has)| group(what, has, rows, &columns)).collect(),
        constants: constants(rows, devices, &all, &fits),
    }
}

/// None: it has no measured TPOT.
fn of<'a>(case: &'a Case<'_>, got: Measured) -> Option<Played<'a>> {
    let calibrated = case.profile.step.calibrated()?;
    let mean = |longest: u32| (f64::from(longest) * (1.0 + case.load.shortest) / 2.0) as u32;
    Some(Played {
        device: &case.row.gpu,
        model: case.model,
        placement: calibrated.deployment().placement(),
        concurrency: case.load.concurrency,
        prompt: mean(case.load.longest_prompt),
        answer: mean(case.load.longest_answer),
        chunk: case.profile.max_num_batched_tokens,
        measured_ms: case.row.tpot_ms.filter(|ms| *ms > 0.0)?,
        played_ms: got.tpot_ms,
    })
}

type Has<'a> = Box<dyn Fn(&Case<'_>) -> bool + 'a>;

/// Which rows a line of the table is of: all, those of each model and device, and what was known to be off.
fn groups<'a>(models: &BTreeSet<&'a str>, devices: &BTreeSet<&'a str>) -> Vec<(String, Has<'a>)> {
    let mut groups: Vec<(String, Has<'a>)> = vec![("all".into(), Box::new(|_| true))];
    for without in models.iter().map(|one| Without::Model(one)) {
        groups.push((
            without.name().unwrap_or_default().into(),
            Box::new(move |case| without.has(case)),
        ));
    }
    for without in devices.iter().map(|one| Without::Device(one)) {
        groups.push((
            without.name().unwrap_or_default().into(),
            Box::new(move |case| without.has(case)),
        ));
    }
    groups.push((
        "MoE on b200".into(),
        Box::new(|case| case.model.experts.is_some() && case.device.name == "b200"),
    ));
    let is_wide = |case: &Case<'_>| case.row.tp == Some(8.0);
    groups.push((
        "dense, tp 8".into(),
        Box::new(move |case| case.model.experts.is_none() && is_wide(case)),
    ));
    groups
}

/// None: it has no rows.
fn group(
    what: &str,
    has: &Has<'_>,
    rows: &[Row<'_>],
    columns: &[Vec<Option<f64>>; 4],
) -> Option<Group> {
    let [shipped, fitted, model, device] = columns.each_ref().map(|errors| {
        let named = |((case, _, name), error): (&Row<'_>, &Option<f64>)| {
            error.filter(|_| has(case)).map(|error| (name.clone(), error))
        };
        Errors::of(&rows.iter().zip(errors).filter_map(named).collect::<Vec<Named>>())
    });
    Some(Group {
        what: what.to_owned(),
        shipped: shipped?,
        fitted: fitted?,
        model_left_out: model,
        device_left_out: device,
    })
}

/// Those that some row can tell.
fn constants(
    rows: &[Row<'_>],
    devices: &BTreeMap<String, Device>,
    all: &[Without<'_>],
    fits: &[BTreeMap<String, Device>],
) -> Vec<Constant> {
    let of = |param: Param| {
        let gpu = &rows.iter().find(|(case, ..)| param.is_of(case.device))?.0.row.gpu;
        let without = all.iter().zip(fits);
        let without = without.filter_map(|(without, fit)| Some((without.name()?, fit)));
        Some(Constant {
            name: param.name(),
            shipped: param.get(&devices[gpu]),
            fitted: param.get(&fits[0][gpu]),
            without: without.map(|(name, fit)| (name.to_owned(), param.get(&fit[gpu]))).collect(),
        })
    };
    Param::ALL.into_iter().filter_map(of).collect()
}
