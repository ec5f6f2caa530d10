//! `loadgen advise`: a cluster that shares KV cache, the users' own devices, or a split of
//! both; what each costs a month, and what would turn the answer round.

mod band;
mod facts;
mod figures;
mod options;
mod same_model;
mod sensitivity;
mod simulated;
mod text;

use crate::config::Setup;
use crate::deploy::made_from;
use crate::devices::{DevicesSetup, StaysSetup};
use crate::files::bad;
use crate::measure::run_at;
use crate::progress::Progress;
use crate::question::Question;
use crate::results::RunReport;
use anyhow::Result;
use facts::{Facts, Rates};
use figures::{Advice, Figure};
use options::{Choice, Decision, Inputs, MONTH_S, decide};
use sensitivity::Sensitivity;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use warmpath_core::engine::physics::Device;
use warmpath_core::engine::profile::Profile;
use warmpath_core::sharing::{Sharing, SharingScope};

const SCHEMA: &str = "warmpath.advice.v1";
/// The largest fleet that the advised split is played on; a larger one is played in proportion.
const MOST_WORKERS: u32 = 32;
/// Some 50 on each of 20 working days.
const REQUESTS_PER_USER: f64 = 1_000.0;
/// Of a workload that is drawn, unless given; what is recorded is the same with each.
const SEEDS: u64 = 3;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    question: Question,
    /// Requests a month; unless given, what the workload's own rate makes if it is the peak's
    #[arg(long, value_name = "N", value_parser = parse_amount)]
    monthly_requests: Option<f64>,
    /// The busiest time's rate over the month's mean
    #[arg(long, value_name = "X", default_value_t = 3.0, value_parser = parse_peak)]
    peak: f64,
    /// People behind the requests, each with a device; one for each 1000 requests a month unless given
    #[arg(long, value_name = "N", value_parser = parse_amount)]
    users: Option<f64>,
    /// The users' devices: a profile by name, or a profile file (TOML)
    #[arg(long, value_name = "NAME")]
    device_profile: Option<String>,
    /// Of a device's price and idle power, what is charged: 0, its users have it anyway, to 1, it was
    /// bought for this; the price sheet's unless given
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    charged_share: Option<f64>,
    /// Seeds over which the bands go; 3 unless given, and 1 for a trace, which is the same with each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: Option<u64>,
}

fn parse_amount(text: &str) -> Result<f64, String> {
    let value = text.replace('_', "").parse().ok().filter(|value| (1.0..=1e15).contains(value));
    value.ok_or_else(|| "expected a number of at least 1".to_owned())
}

fn parse_peak(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (1.0..=1e3).contains(value));
    value.ok_or_else(|| "expected a number from 1 to 1000".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1".to_owned())
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    config: &'a Setup,
    inputs: &'a Inputs,
    rates: &'a Rates,
    facts: &'a Facts,
    decision: &'a Decision,
    sensitivity: &'a [Sensitivity],
    /// What is advised, played at the volume's peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    played: Option<&'a RunReport>,
    /// Every figure of the text.
    figures: &'a [Figure],
    text: &'a str,
}

pub fn run(args: &Args, progress: &Progress) -> Result<ExitCode> {
    let mut setup = args.question.setup()?;
    let files = args.question.files()?;
    if let Some(name) = &args.device_profile {
        let profile = crate::config::load_profile(name, Path::new(""))?;
        let block_size = setup.fleet.profile().block_size;
        setup.devices = Some(DevicesSetup::new(profile, block_size, None, StaysSetup::default())?);
    }
    if setup.devices.is_none() {
        return Err(bad("--scenario: has no [devices], expected them or --device-profile"));
    }
    let mut sheet = setup.prices.clone().expect("a question has prices");
    sheet.user.charged_share = args.charged_share.unwrap_or(sheet.user.charged_share);
    let rates = Rates::of(&setup, &sheet).ok_or_else(|| {
        bad("--price: price or power of the GPUs or the devices is not known, expected NAME=USD for the GPUs, and \
             [purchase] and watts in the row of the device")
    })?;
    let bar = progress.start(1, "advise", "measurements");
    let seeds = args.seeds.unwrap_or(if args.question.trace.is_some() { 1 } else { SEEDS });
    let facts = simulated::measure(&setup, seeds)?;
    drop(bar);
    let monthly = args.monthly_requests.unwrap_or(facts.requests_per_s / args.peak * MONTH_S);
    let inputs = Inputs {
        monthly_requests: monthly,
        peak: args.peak,
        users: args.users.unwrap_or((monthly / REQUESTS_PER_USER).ceil().max(1.0)),
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
    let asked = text::Asked {
        setup: &setup,
        sheet: &sheet,
        facts: &facts,
        rates: &rates,
        inputs: &inputs,
        decision: &decision,
        sensitivity: &sensitivity,
        played: played.as_ref(),
        monthly_given: args.monthly_requests.is_some(),
        users_given: args.users.is_some(),
    };
    let Advice { text, figures } = text::write(&asked);
    print!("{text}");
    if let Some(file) = files.csv {
        file.finish(text::csv(&decision).as_bytes())?;
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
            text: &text,
        };
        let mut bytes = serde_json::to_vec_pretty(&report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    let answered = decision.choice != Choice::Nothing;
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    setup.sharing = Sharing { scope: SharingScope::Tenant, public_prefixes: public, groups: None };
    setup.devices = setup.devices.zip(split).map(|(devices, split)| {
        let stays = split.stays.clone();
        DevicesSetup { stays, ..devices }
    });
    // As busy as each worker will be.
    let share = peak / (f64::from(chosen.workers) * rate);
    let load = share * rate * f64::from(workers) / facts.requests_per_s;
    setup.fleet.set_workers(workers);
    run_at(&setup, load).map(Some)
}

/// The profile of a device that is so many times as fast, in computing and in reading.
fn with_speed(profile: &Profile, times: f64) -> Result<Profile> {
    let (device, model, deployment) = made_from(profile).map_err(bad)?;
    let device = Device { realization: device.realization * times, ..device };
    let mut faster =
        Profile::build(&device, &model, deployment).map_err(|error| bad(error.to_string()))?;
    faster.name.clone_from(&profile.name);
    Ok(faster)
}
