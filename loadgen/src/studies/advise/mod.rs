//! `loadgen advise`: a cluster that shares KV cache, users' own devices, or a split of both. What
//! each costs per month, and what would change the answer.

mod asked;
mod band;
mod choice;
mod facts;
mod figures;
mod option_sheet;
mod options;
mod plots;
mod same_model;
mod sensitivity;
mod simulated;
mod text;

use crate::args::Question;
use crate::figures::RunReport;
use crate::files::bad;
use crate::play::Progress;
use crate::report::Screen;
use crate::setup::Setup;
use crate::setup::{DevicesSetup, StaysSetup};
use crate::studies::measure::run_at;
use crate::studies::question;
use anyhow::Result;
use asked::Asked;
use choice::Choice;
use facts::{Facts, Rates};
use figures::Figure;
use options::{Decision, Inputs, MONTH_S, MOST_WORKERS, decide};
use sensitivity::Sensitivity;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use warmpath_core::sharing::{SharingRule, SharingScope};
use warmpath_sheet::{Sheet, Width, render};

pub const SCHEMA: &str = "warmpath.advice.v1";
/// About 50 on each of 20 working days.
const REQUESTS_PER_USER: f64 = 1_000.0;
/// Default for a drawn workload. A trace is the same for each seed.
const SEEDS: u64 = 3;

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    config: &'a Setup,
    inputs: &'a Inputs,
    rates: &'a Rates,
    facts: &'a Facts,
    decision: &'a Decision,
    sensitivity: &'a [Sensitivity],
    /// The advised option, played at the peak rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    played: Option<&'a RunReport>,
    /// Every figure of the text.
    figures: &'a [Figure],
    text: &'a str,
}

/// What is asked.
#[derive(Debug)]
pub struct Params<'a> {
    pub question: &'a Question,
    /// None: from the workload's rate, taken as the rate at the peak.
    pub monthly_requests: Option<f64>,
    /// Rate at the busiest time, divided by the mean rate of the month.
    pub peak: f64,
    pub users: Option<f64>,
    /// Profile of the users' devices: a name or a file.
    pub device_profile: Option<&'a str>,
    /// Share of a device's price and idle power that is charged, 0 to 1.
    pub charged_share: Option<f64>,
    pub seeds: Option<u64>,
}

pub fn run(asked: &Params<'_>, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let mut setup = question::resolve(asked.question)?;
    let files = question::files(asked.question, screen)?;
    if let Some(name) = asked.device_profile {
        let profile = crate::setup::load_profile(name, Path::new(""))?;
        let block_size = setup.fleet.profile().block_size;
        setup.devices = Some(DevicesSetup::new(profile, block_size, None, StaysSetup::default())?);
    }
    if setup.devices.is_none() {
        return Err(bad("--scenario: it has no [devices], expected [devices] or --device-profile"));
    }
    let mut sheet = setup.prices.clone().expect("a question has prices");
    sheet.user.charged_share = asked.charged_share.unwrap_or(sheet.user.charged_share);
    let rates = Rates::of(&setup, &sheet).ok_or_else(|| {
        bad("--price: no price or power for the GPUs or the devices, expected NAME=USD for the \
             GPUs, and [purchase] and watts for the devices")
    })?;
    let bar = progress.start(1, "advise", "measurements");
    let seeds = asked.seeds.unwrap_or(if asked.question.trace.is_some() { 1 } else { SEEDS });
    let facts = simulated::measure(&setup, seeds)?;
    drop(bar);
    let monthly = asked.monthly_requests.unwrap_or(facts.requests_per_s / asked.peak * MONTH_S);
    let inputs = Inputs {
        monthly_requests: monthly,
        peak: asked.peak,
        users: asked.users.unwrap_or((monthly / REQUESTS_PER_USER).ceil().max(1.0)),
        charged_share: sheet.user.charged_share,
        gpu_price: 1.0,
        power_price: 1.0,
        device_price: 1.0,
        gpu_speed: 1.0,
    };
    let decision = decide(&facts, &rates, &inputs, &sheet.api);
    let base = (&facts, &rates, &inputs, sheet.api.as_slice());
    let sensitivity = sensitivity::of(&setup, base, &decision, progress)?;
    let played = played(&setup, &facts, &decision, &inputs)?;
    let facts_of_text = Asked {
        setup: &setup,
        sheet: &sheet,
        facts: &facts,
        rates: &rates,
        inputs: &inputs,
        decision: &decision,
        sensitivity: &sensitivity,
        played: played.as_ref(),
        monthly_given: asked.monthly_requests.is_some(),
        users_given: asked.users.is_some(),
    };
    let (page, figures) = text::write(&facts_of_text).finish();
    screen.show_with(&page, |document| plots::add(document, &facts_of_text))?;
    if let Some(file) = files.csv {
        file.finish(render::csv(&option_sheet::data(&decision)).as_bytes())?;
    }
    if let Some(file) = files.json {
        let report = Report {
            schema: SCHEMA,
            config: &setup,
            inputs: &inputs,
            rates: &rates,
            facts: &facts,
            decision: &decision,
            sensitivity: &sensitivity,
            played: played.as_ref(),
            figures: &figures,
            text: &render::page(&page, Width::FILE),
        };
        let mut bytes = serde_json::to_vec_pretty(&report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    let answered = decision.choice != Choice::Nothing;
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every table without rows, with all the columns that it can have.
pub fn blanks() -> Vec<Sheet> {
    vec![option_sheet::blank()]
}

/// Plays what is advised at the volume's peak, on as many workers as that takes or in proportion to them.
/// Devices alone were played when they were measured.
fn played(
    setup: &Setup,
    facts: &Facts,
    decision: &Decision,
    inputs: &Inputs,
) -> Result<Option<RunReport>> {
    let chosen = decision.options.iter().find(|option| option.choice == decision.choice);
    let same = facts.same_model.as_ref().filter(|_| decision.choice == Choice::ClusterSameModel);
    let split = facts.splits.iter().find(|split| split.choice == decision.choice);
    let rate = match decision.choice {
        Choice::SplitByLength | Choice::SplitByClass => {
            split.and_then(|split| split.requests_per_s_per_worker)
        }
        Choice::Cluster => options::per_worker(facts),
        Choice::ClusterSameModel => same.and_then(|same| same.cluster.requests_per_s_per_worker),
        Choice::Devices | Choice::Nothing => None,
    };
    let (Some(chosen), Some(rate)) = (chosen, rate) else { return Ok(None) };
    let rate = rate.mean;
    let peak = inputs.monthly_requests / MONTH_S * inputs.peak;
    let workers = chosen.workers.min(MOST_WORKERS);
    let public = setup.source.operators_tokens() > 0;
    let mut setup = match same {
        Some(_) => same_model::on_cluster(setup).expect("it was simulated"),
        None => setup.clone(),
    };
    setup.sharing =
        SharingRule { scope: SharingScope::Tenant, public_prefixes: public, groups: None };
    setup.devices = setup.devices.zip(split).map(|(devices, split)| {
        let stays = split.stays.clone();
        DevicesSetup { stays, ..devices }
    });
    // Each worker is as busy as in the full fleet.
    let share = peak / (f64::from(chosen.workers) * rate);
    let load = share * rate * f64::from(workers) / facts.requests_per_s;
    setup.fleet.set_workers(workers);
    run_at(&setup, load).map(Some)
}
