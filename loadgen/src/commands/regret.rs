//! `loadgen regret`: the command of [`crate::studies::regret`].

use super::finish::About;
use crate::args::{What, parse_time};
use crate::files::bad;
use crate::play::Progress;
use crate::report::{OutputFiles, OutputPaths, Screen};
use crate::setup::Setup;
use crate::studies::regret::{self, By, Question, Regret};
use anyhow::Result;
use serde::Serialize;
use std::process::ExitCode;
use warmpath_sheet::render;

const SCHEMA: &str = "warmpath.regret.v1";

/// Shows which decisions of a policy were wrong, and what each of them cost
///
/// A simulated run is frozen: its requests, their times, and the worker of each. Then single requests are played on each other
/// worker. What that wins, for the request and for those sent soon after it, is the decision's regret.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, decisions of two policies on the same requests:
  loadgen regret --workload assistant --policies kv-aware,warmpath --examine 40")]
pub struct Args {
    /// How many requests are played, from the first one, 2 to 100000
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    requests: u64,
    /// How many decisions are examined, 2 to 10000: half of them picked evenly, and the slowest of the others. Each is played
    /// once for each other worker
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=10_000))]
    examine: u64,
    /// Requests that are sent within this time after the examined one count too, such as 10s or 5m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    horizon: f64,
    /// The time that a decision should make short: to the first token or to the last one
    #[arg(long, value_enum, value_name = "TIME", default_value_t = By::Ttft)]
    by: By,
    #[command(flatten)]
    what: What,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    config: &'a Setup,
    by: By,
    horizon_s: f64,
    policies: &'a [Regret],
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    let what = &args.what;
    let why = "not for regret, which examines one run of each policy";
    what.refuse_outputs_of_runs(why)?;
    for (flag, given) in [("--seeds", what.seeds > 1), ("--rates", what.rates.len() > 1)] {
        if given {
            return Err(bad(format!("{flag}: {why}")));
        }
    }
    let setup = Setup::resolve(what)?;
    let paths = OutputPaths::of(what.json.as_deref(), what.csv.as_deref());
    let files = OutputFiles::at(paths, screen)?;
    let asked = Question {
        by: args.by,
        requests: args.requests,
        examined: args.examine as usize,
        horizon_s: args.horizon,
    };
    let found = regret::regret(asked, &setup, progress)?;
    let page = regret::page(&About::of(&setup).title, asked, &found);
    screen.show_with(&page, |document| regret::add(document, args.by, &found))?;
    if let Some(file) = files.csv {
        file.finish(render::csv(&regret::data(args.by, &found)).as_bytes())?;
    }
    if let Some(file) = files.json {
        let report = Report {
            schema: SCHEMA,
            config: &setup,
            by: args.by,
            horizon_s: args.horizon,
            policies: &found,
        };
        let mut bytes = serde_json::to_vec_pretty(&report)?;
        bytes.push(b'\n');
        file.finish(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
