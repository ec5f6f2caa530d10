//! `loadgen sharing`: what each kind of sharing is worth on a workload, and where a shared pool makes
//! a fleet five times as fast.

mod ladder;
mod sweep;
mod table;

use crate::args::Question;
use crate::figures::{Found, RunReport};
use crate::files::bad;
use crate::play::Progress;
use crate::play::parallel;
use crate::report::OutputFiles;
use crate::setup::Setup;
use crate::studies::measure::{self, AtSlo, Throughput, at_slo, run_at};
use crate::studies::question;
use anyhow::Result;
use ladder::{DEVICES, NONE, POOL, Rung, rungs};
use serde::Serialize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use sweep::Point;
use warmpath_core::id::ORIGINS;
use warmpath_core::report::{ByOwner, Spread};

const SCHEMA: &str = "warmpath.sharing.v1";
/// The speed-up that is claimed for a shared context-memory tier.
pub const CLAIM: f64 = 5.0;

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    config: &'a Setup,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rungs: Vec<Measured>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ratios: Vec<Ratio>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sweep: Vec<Point>,
}

/// One rung at the workload's own load, and at its highest load within the SLO.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub name: &'static str,
    pub profile: String,
    pub profile_validated: bool,
    pub tiers: Vec<String>,
    /// Chips of the whole fleet. 0 for users' devices.
    pub chips: u32,
    pub requests: u64,
    pub errors: u64,
    pub hit_rate: f64,
    pub hit_rate_by_owner: ByOwner<f64>,
    pub hit_rate_by_tier: [f64; ORIGINS],
    pub ttft_s: Spread,
    pub tpot_s: Spread,
    pub within_slo: f64,
    /// The highest load within the SLO, as a multiple of the workload's own. None for users' devices:
    /// each serves one user.
    pub capacity: Option<Found>,
    pub hit_rate_at_slo: Option<f64>,
    /// At that load, per chip.
    pub at_slo: Option<Throughput>,
    /// Chips that the workload's own load needs, if throughput is proportional to chips.
    pub chips_needed: Option<u32>,
    /// Per million tokens served (prompts and answers), and per million output tokens, at the highest
    /// load within the SLO. For devices: at the workload's own load.
    pub usd_per_m_served: Option<f64>,
    pub usd_per_m_output: Option<f64>,
    pub kwh_per_m_served: Option<f64>,
}

/// Tokens per second and chip within the SLO, of one rung divided by another.
#[derive(Debug, Serialize)]
pub struct Ratio {
    pub of: &'static str,
    pub over: &'static str,
    /// None: one of them serves nothing within the SLO.
    pub times: Option<f64>,
    /// Whether the first rung serves anything within the SLO.
    pub serves: bool,
    /// Whether the other rung does.
    pub over_serves: bool,
}

/// What is asked.
#[derive(Debug)]
pub struct Params<'a> {
    pub question: &'a Question,
    /// Instead of the ladder: searches where a shared pool makes a fleet five times as fast.
    pub sweep: bool,
}

pub fn run(asked: &Params<'_>, progress: &Progress) -> Result<ExitCode> {
    let setup = question::resolve(asked.question)?;
    let files = question::files(asked.question)?;
    if asked.sweep {
        if asked.question.trace.is_some() || asked.question.workload.is_some() {
            return Err(bad("--sweep: makes its own workloads, expected no --workload or --trace"));
        }
        let points = sweep::play(&setup, progress)?;
        print!("{}", table::sweep(&points));
        let csv = table::sweep_csv(&points);
        let report = Report { sweep: points, ..Report::of(&setup) };
        return write(files, &csv, &report);
    }
    let rungs = rungs(&setup);
    let bar = progress.start(rungs.len() as u64, "sharing", "rungs");
    let ended = AtomicU64::new(0);
    let measured = parallel::map(&rungs, |rung| {
        let measured = measured(rung);
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        measured
    });
    drop(bar);
    let measured = measured.into_iter().collect::<Result<Vec<_>>>()?;
    let ratios = ratios(&measured);
    print!("{}", table::ladder(&setup, &measured, &ratios));
    let csv = table::ladder_csv(&measured);
    write(files, &csv, &Report { rungs: measured, ratios, ..Report::of(&setup) })
}

impl<'a> Report<'a> {
    const fn of(config: &'a Setup) -> Self {
        Self { schema: SCHEMA, config, rungs: Vec::new(), ratios: Vec::new(), sweep: Vec::new() }
    }
}

fn write(files: OutputFiles, csv: &str, report: &impl Serialize) -> Result<ExitCode> {
    if let Some(file) = files.csv {
        file.finish(csv.as_bytes())?;
    }
    if let Some(file) = files.json {
        let mut bytes = serde_json::to_vec_pretty(report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measured(rung: &Rung) -> Result<Measured> {
    let setup = &rung.setup;
    let own = run_at(setup, 1.0)?;
    if setup.is_device_only() {
        return Ok(Measured::of(rung, own, None));
    }
    let found = at_slo(setup, measure::BOUNDS)?;
    Ok(Measured::of(rung, own, Some(found)))
}

impl Measured {
    fn of(rung: &Rung, own: RunReport, found: Option<AtSlo>) -> Self {
        let chips = if found.is_some() { measure::chips(&rung.setup) } else { 0 };
        let at_slo = found.as_ref().and_then(|found| found.throughput(chips));
        let load = found.as_ref().and_then(AtSlo::load);
        let each = measure::chips_each(rung.setup.fleet.profile());
        let needed = |load: f64| (f64::from(chips / each) / load).ceil() as u32 * each;
        let economics = match &found {
            Some(found) => found.economics(),
            None => own.economics.as_ref(),
        };
        let usd = match &found {
            Some(found) => found.usd_per_m().map(|[served, output]| (Some(served), Some(output))),
            None => {
                economics.map(|economics| (economics.usd_per_m.served, economics.usd_per_m.output))
            }
        };
        let (usd_per_m_served, usd_per_m_output) = usd.unwrap_or_default();
        let at = found.as_ref().and_then(|found| found.run.as_ref());
        let known = |value: Option<f64>| value.filter(|value| value.is_finite());
        Self {
            name: rung.name,
            profile: own.profile.clone().unwrap_or_default(),
            profile_validated: own.profile_validated,
            tiers: own.tiers.clone(),
            chips,
            requests: own.figures.requests,
            errors: own.figures.errors,
            hit_rate: own.figures.hit_rate,
            hit_rate_by_owner: own.figures.hit_rate_by_owner,
            hit_rate_by_tier: own.figures.hit_rate_by_tier,
            ttft_s: own.figures.ttft_s,
            tpot_s: own.figures.tpot_s,
            within_slo: own.figures.within_slo,
            capacity: found.as_ref().map(|found| found.found),
            hit_rate_at_slo: at.map(|run| run.figures.hit_rate),
            at_slo,
            chips_needed: load.map(needed),
            usd_per_m_served: known(usd_per_m_served),
            usd_per_m_output: known(usd_per_m_output),
            kwh_per_m_served: known(economics.and_then(|economics| economics.kwh_per_m.served)),
        }
    }
}

/// The claim of "5x" against each fleet that it may be compared with: the same fleet without the
/// pool, one with HBM alone, and one without reuse.
fn ratios(rungs: &[Measured]) -> Vec<Ratio> {
    let place = |name: &str| rungs.iter().position(|rung| rung.name == name);
    let Some(pool) = place(POOL) else { return Vec::new() };
    let hbm_alone =
        rungs[..pool].iter().rposition(|rung| rung.tiers.len() == 1 && rung.name != DEVICES);
    let others = [Some(pool - 1), hbm_alone, place(NONE)];
    let mut ratios: Vec<Ratio> = Vec::new();
    for other in others.into_iter().flatten().map(|i| &rungs[i]) {
        if ratios.iter().all(|ratio| ratio.over != other.name) {
            let served = |rung: &Measured| rung.at_slo.map(|at_slo| at_slo.served);
            let times =
                served(&rungs[pool]).zip(served(other)).map(|(with, without)| with / without);
            let serves = rungs[pool].at_slo.is_some();
            let over_serves = other.at_slo.is_some();
            ratios.push(Ratio { of: POOL, over: other.name, times, serves, over_serves });
        }
    }
    ratios
}
