//! The measurements that the program carries: vLLM 0.26 on one H100 (`deploy/measurements`).

use crate::fidelity::loading::{self, Loading};
use crate::fidelity::reference::{Known, parse_csv};
use crate::fidelity::served_run::{self, ServedRun};
use crate::fidelity::whole::{self, Line, Whole};
use crate::fidelity::whole_fit::{LeftOut, left_out};
use crate::files::bad;
use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use warmpath_core::workload::trace::mooncake;
use warmpath_launch::profiles;

macro_rules! carried {
    ($name:literal) => {
        (
            concat!("deploy/measurements/h100-vllm-0.26/", $name),
            include_str!(concat!("../../../deploy/measurements/h100-vllm-0.26/", $name)),
        )
    };
}

const STEPS: (&str, &str) = carried!("steps.csv");
const SERVED_STEPS: (&str, &str) = carried!("served_steps.csv");
const SERVED_REQUESTS: (&str, &str) = carried!("served_requests.csv");
const SERVED_TRACE: (&str, &str) = carried!("served_slice.jsonl");
const OFFLOAD: (&str, &str) = carried!("offload.csv");
/// Served steps that say nothing: the first was cold, and a host stood still for one.
const ODD_STEPS: [usize; 2] = [0, 3599];
/// What the served run was measured with, and the same with host memory behind it.
const SERVED_BY: &str = "llama-8b-bf16-h100";
const OFFLOADED_BY: &str = "llama-8b-bf16-h100-offload";

/// Measurements of whole steps, wherever they come from.
#[derive(Debug, Default, Serialize)]
pub struct WholeSteps {
    pub lines: Vec<Line>,
    pub left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize)]
pub struct Carried {
    pub steps: WholeSteps,
    pub served: ServedRun,
    pub loading: Vec<Loading>,
}

impl WholeSteps {
    pub fn evaluate(rows: &[Whole], known: &Known) -> Self {
        Self { lines: whole::lines(rows, known), left_out: left_out(rows, known) }
    }
}

pub fn steps(known: &mut Known) -> Result<Vec<Whole>> {
    let rows = parse(STEPS)?;
    Ok(rows.iter().filter_map(|row| Whole::understand(row, known)).collect())
}

pub fn evaluate(known: &mut Known) -> Result<Carried> {
    let rows = steps(known)?;
    let load = |name| profiles::load(name, Path::new("")).map_err(bad);
    let trace = mooncake::read(SERVED_TRACE.1.lines())
        .map_err(|error| bad(format!("{}: {error}", SERVED_TRACE.0)))?;
    let (steps, requests) = (parse(SERVED_STEPS)?, parse(SERVED_REQUESTS)?);
    let served = served_run::evaluate(&load(SERVED_BY)?, &steps, &requests, &trace, &ODD_STEPS)
        .map_err(|why| bad(format!("{}: {why}", SERVED_STEPS.0)))?;
    Ok(Carried {
        steps: WholeSteps::evaluate(&rows, known),
        served,
        loading: loading::evaluate(&load(OFFLOADED_BY)?, &parse(OFFLOAD)?),
    })
}

fn parse<T: DeserializeOwned>((path, text): (&str, &str)) -> Result<Vec<T>> {
    parse_csv(Path::new(path), text)
}
