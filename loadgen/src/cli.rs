//! The command line: which command, and its arguments.

use crate::commands::{
    advise, compare, explain, fidelity, fit, generations, replay, run, sharing, sim,
};
use crate::play::Progress;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

/// Measures what a routing policy is worth on a fleet of LLM workers that share KV cache.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line. Help is printed and ends the program. An error is one line.
    pub fn from_command_line() -> Result<Self, String> {
        // A negative number is a wrong value, not an unknown flag.
        let command = Self::command().mut_subcommands(|command| {
            command.mut_args(|arg| match arg.get_action().takes_values() {
                true => arg.allow_negative_numbers(true),
                false => arg,
            })
        });
        let parsed = command.try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        parsed.map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
            _ => in_one_line(&error.to_string()),
        })
    }
}

/// The error without the usage text after it.
fn in_one_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let said = text.lines().take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    said.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

const EXIT_CODES: &str = "Exit status: 0 done, 1 the run failed or is not valid, 2 bad input.\n\n\
    `loadgen COMMAND --help` shows an example and all flags of a command.";

#[derive(Debug, Subcommand)]
pub enum Command {
    Compare(compare::Args),
    Sim(sim::Args),
    Sharing(sharing::Args),
    Advise(advise::Args),
    Generations(generations::Args),
    Run(run::Args),
    Replay(replay::Args),
    Fidelity(fidelity::Args),
    Fit(fit::Args),
    Explain(explain::Args),
}

impl Command {
    /// Runs the command. The result is its exit status; bad input is status 2.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let progress = Progress;
        match self {
            Self::Compare(args) => compare::run(&args, &progress),
            Self::Sim(args) => sim::run(&args, &progress),
            Self::Sharing(args) => sharing::run(&args, &progress),
            Self::Advise(args) => advise::run(&args, &progress),
            Self::Generations(args) => generations::run(&args, &progress),
            Self::Run(args) => run::run(&args, &progress),
            Self::Replay(args) => replay::run(&args),
            Self::Fidelity(args) => fidelity::run(&args),
            Self::Fit(args) => fit::run(&args),
            Self::Explain(args) => explain::run(args),
        }
    }
}
