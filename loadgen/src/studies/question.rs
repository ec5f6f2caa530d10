//! The set-up of a study.

use crate::args::Question;
use crate::files::bad;
use crate::report::{OutputFiles, OutputPaths, Screen};
use crate::setup::Setup;
use anyhow::Result;

const SCENARIO: &str = include_str!("../../../deploy/scenarios/sharing.toml");
/// Recorded sessions are long, and a study plays them many times.
const RECORDED_REQUESTS: u64 = 6_000;
const RECORDED_WORKERS: u32 = 4;

/// The set-up of a question. Costs are always computed.
pub fn resolve(question: &Question) -> Result<Setup> {
    let mut setup = Setup::resolve_on(&question.what(), "built-in sharing scenario", SCENARIO)?;
    if setup.fleet.groups().len() > 1 {
        return Err(bad("--scenario: it has groups, expected one profile for all workers"));
    }
    let recorded = question.trace.is_some() && setup.source.concurrency().is_some();
    let limit = question.requests.or(recorded.then_some(RECORDED_REQUESTS));
    if let Some(limit) = limit {
        setup.source.limit(limit);
    }
    if recorded && question.workers.is_none() && question.scenario.is_none() {
        setup.fleet.set_workers(RECORDED_WORKERS);
    }
    setup.slo.ttft_s = question.ttft.unwrap_or(setup.slo.ttft_s);
    setup.slo.tpot_s = question.tpot.unwrap_or(setup.slo.tpot_s);
    setup.prices = Some(question.prices.load()?);
    Ok(setup)
}

/// The output files that the flags name.
pub fn files(question: &Question, screen: Screen) -> Result<OutputFiles> {
    let paths = OutputPaths::of(question.json.as_deref(), question.csv.as_deref());
    OutputFiles::at(paths, screen)
}
