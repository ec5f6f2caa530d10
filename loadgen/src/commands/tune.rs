//! `loadgen tune`: parameters of rules, found with one part of the requests and reported on the other.

use super::finish;
use crate::args::What;
use crate::figures::goal::{E2E, GOODPUT, Goal, TTFT};
use crate::figures::{Results, Tuning};
use crate::files::bad;
use crate::play::{Cell, Progress, RunOptions, of_grid, room, scope};
use crate::report::Screen;
use crate::setup::Setup;
use crate::studies::tune::{Question, held_out_change, tune, tuning};
use anyhow::Result;
use clap::ValueEnum;
use std::process::ExitCode;
use warmpath_core::routing::policy::NamedPolicy;

/// Searches better parameters for rules, and reports defaults and tuned rules on requests that the search did not
/// see
///
/// Of a trace, the search plays the first part and the report the rest. Drawn workloads have other requests with
/// other seeds: the search plays --seed and those after it, the report as many others.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  loadgen tune --trace conversation.jsonl --rate-scale 1.6 --policies dynamo
  loadgen tune --workload assistant --rates 1,2 --seeds 3 --policies dynamo,warmpath --goal goodput --json tuned.json

The JSON has every setting that was tried, under tunings.")]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// What the search makes better: mean TTFT, mean end-to-end latency, or requests within the SLO a second
    #[arg(long, value_enum, value_name = "GOAL", default_value_t = Aim::Ttft)]
    goal: Aim,
    /// The most settings of each rule that are played, 2 to 10000. Each one is played at every rate and with every
    /// seed
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=10_000))]
    budget: u64,
    /// The part of a trace that the search plays, 0.1 to 0.9
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = parse_share)]
    train: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Aim {
    Ttft,
    E2e,
    Goodput,
}

impl Aim {
    const fn goal(self) -> (Goal, &'static str) {
        match self {
            Self::Ttft => (TTFT, "mean TTFT"),
            Self::E2e => (E2E, "mean E2E"),
            Self::Goodput => (GOODPUT, "seconds a good request"),
        }
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.1..=0.9).contains(share));
    share.ok_or_else(|| "expected a number from 0.1 to 0.9".to_owned())
}

pub fn run(args: &Args, progress: &Progress, screen: Screen) -> Result<ExitCode> {
    if args.what.capacity {
        return Err(bad("--capacity: not for tune, which compares at given rates"));
    }
    finish::each_variant(&args.what, screen, |setup, options| all(args, setup, options, progress))
}

fn all(args: &Args, setup: &Setup, options: &RunOptions, progress: &Progress) -> Result<Results> {
    let (training, held_out, names) = parts(args, setup)?;
    let prepared = held_out.source.prepare(&scope(&held_out));
    let pace = Cell::first(&held_out, &held_out.baseline, None, options).pace(&held_out);
    room::check(&held_out, options, prepared.workload(pace).total(), 0)?;
    let (goal, goal_name) = args.goal.goal();
    let question = Question { goal, goal_name, budget: args.budget as usize };
    let (mut policies, mut tunings) = (Vec::new(), Vec::new());
    for policy in &setup.policies {
        let (tuned, tried, spent) = tune(question, policy, &training, options, progress)?;
        policies.push(policy.clone());
        let label = match policy.label == policy.policy.to_string() {
            true => tuned.to_string(),
            false => format!("{} tuned", policy.label),
        };
        let is_new = !policies.iter().any(|other: &NamedPolicy| other.label == label);
        if tuned != policy.policy && is_new {
            policies.push(NamedPolicy { label, policy: tuned });
        }
        tunings.push(tuning(question, policy, tuned, (tried, spent), names.clone()));
    }
    let held_out = Setup { policies, ..held_out.clone() };
    let mut results = of_grid(&held_out, &prepared, options, progress)?;
    for tuning in &mut tunings {
        tuning.held_out_change_percent = held_out_change(question, tuning, &results.runs);
    }
    results.notes.extend(tunings.iter().map(note));
    results.tunings = tunings;
    Ok(results)
}

/// The set-ups of the search and of the report, and what each plays.
fn parts(args: &Args, setup: &Setup) -> Result<(Setup, Setup, (String, String))> {
    let Some((first, rest)) = setup.source.split(args.train) else {
        let others = Setup { seed: setup.seed + setup.seeds, ..setup.clone() };
        let names = (setup.seeds_in_words(), others.seeds_in_words());
        return Ok((setup.clone(), others, names));
    };
    let percent = (args.train * 100.0).round();
    let names = (
        format!("the first {percent} % of the trace"),
        format!("the last {} % of the trace", 100.0 - percent),
    );
    let part = |source| Setup { source, ..setup.clone() };
    let (training, held_out) = (part(first), part(rest));
    for (what, part) in [("search", &training), ("report", &held_out)] {
        if part.source.is_empty() {
            return Err(bad(format!(
                "--train: {}, which leaves no request for the {what}",
                args.train
            )));
        }
    }
    Ok((training, held_out, names))
}

fn note(tuning: &Tuning) -> String {
    let Tuning { policy, tuned, trained_on, reported_on, goal, budget_spent, tried, .. } = tuning;
    let change = tuning.best_change_percent();
    let end = if *budget_spent { ", all of the budget" } else { "" };
    let tried = tried.len();
    match policy == tuned {
        true => format!(
            "{policy}: no better parameters among {tried} settings{end}, by {goal} on {trained_on}. The tables are of \
             {reported_on}."
        ),
        false => format!(
            "{policy}: {tuned} is the best of {tried} settings{end}, {change:+.1} % {goal} on {trained_on}. The tables are \
             of {reported_on}, which the search did not see."
        ),
    }
}
