//! The command line: which command, and its arguments.

use crate::commands::{
    advise, columns, compare, diff, explain, export, fidelity, fit, generations, init, list,
    manual, measure, policies, rank, regret, replay, run, sharing, sim, sweep, trace, tune,
};
use crate::files::bad;
use crate::play::Progress;
use crate::report::{HtmlFile, Screen};
use crate::setup::Setup;
use anyhow::anyhow;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use warmpath_launch::command_line;
use warmpath_launch::version::VERSION;
use warmpath_sheet::width;

/// Measures what a routing policy is worth on a fleet of LLM workers that share KV cache.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version = VERSION, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Maximum width of tables in characters, 40 to 10000 [default: the terminal's width, or 120]
    #[arg(long, global = true, value_name = "N", value_parser = width::parse)]
    width: Option<usize>,
    /// Shows no progress
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Writes the report as one HTML file, with plots: of commands that print tables
    #[arg(long, global = true, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Cli {
    /// Reads the command line. None: it asked for help, which is printed. An error is one line.
    pub fn from_command_line() -> anyhow::Result<Option<Self>> {
        Self::parse(std::env::args_os()).map(Some).or_else(|error| {
            match (command_line::help(&error), error.kind()) {
                (Some(printed), _) => printed.map(|()| None).map_err(|line| anyhow!(line)),
                // Without a command, the help is what went wrong.
                (None, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) => error.exit(),
                (None, _) => Err(bad(in_one_line(&error.to_string()))),
            }
        })
    }

    /// Reads these arguments, of which the first is the program.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        // A negative number is a wrong value, not an unknown flag.
        let command = Self::command().mut_subcommands(|command| {
            command.mut_args(|arg| match arg.get_action().takes_values() {
                true => arg.allow_negative_numbers(true),
                false => arg,
            })
        });
        command.try_get_matches_from(args).and_then(|matches| Self::from_arg_matches(&matches))
    }

    /// What a run with these flags would be made of, if the command is one that plays a scenario.
    pub fn setup(&self) -> Option<anyhow::Result<Setup>> {
        match &self.command {
            Command::Compare(args) => Some(Setup::resolve(&args.what)),
            Command::Sim(args) => Some(Setup::resolve(&args.what)),
            _ => None,
        }
    }
}

/// The error without the usage text after it.
pub fn in_one_line(text: &str) -> String {
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
    Sweep(sweep::Args),
    Sharing(sharing::Args),
    Advise(advise::Args),
    Generations(generations::Args),
    Regret(regret::Args),
    Tune(tune::Args),
    Run(run::Args),
    Replay(replay::Args),
    Fidelity(fidelity::Args),
    Fit(fit::Args),
    Measure(measure::Args),
    Explain(explain::Args),
    Export(export::Args),
    Trace(trace::Args),
    List(list::Args),
    Init(init::Args),
    Policies(policies::Args),
    Rank(rank::Args),
    Diff(diff::Args),
    Columns(columns::Args),
    Completions(manual::Completions),
    Man(manual::Man),
}

impl Cli {
    /// Runs the command. The exit status says how it ended; an error that is bad input is status 2.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let progress = Progress::new(self.quiet);
        let html = self.html.as_deref().map(HtmlFile::at).transpose()?;
        if html.is_some() && !self.command.prints_tables() {
            return Err(bad("--html: this command prints no table"));
        }
        let code =
            self.command.run(&progress, Screen::new(self.width, self.quiet, html.as_ref()))?;
        if html.is_some_and(|html| !html.is_written()) {
            return Err(bad("--html: no table was printed with these flags"));
        }
        Ok(code)
    }
}

impl Command {
    const fn prints_tables(&self) -> bool {
        !matches!(
            self,
            Self::Replay(_)
                | Self::Fit(_)
                | Self::Measure(_)
                | Self::Init(_)
                | Self::Completions(_)
                | Self::Man(_)
        )
    }

    fn run(self, progress: &Progress, screen: Screen) -> anyhow::Result<ExitCode> {
        match self {
            Self::Compare(args) => compare::run(&args, progress, screen),
            Self::Sim(args) => sim::run(&args, progress, screen),
            Self::Sweep(args) => sweep::run(&args, progress, screen),
            Self::Sharing(args) => sharing::run(&args, progress, screen),
            Self::Advise(args) => advise::run(&args, progress, screen),
            Self::Generations(args) => generations::run(&args, progress, screen),
            Self::Regret(args) => regret::run(&args, progress, screen),
            Self::Tune(args) => tune::run(&args, progress, screen),
            Self::Run(args) => run::run(&args, progress, screen),
            Self::Replay(args) => replay::run(&args),
            Self::Fidelity(args) => fidelity::run(&args, progress, screen),
            Self::Fit(args) => fit::run(&args),
            Self::Measure(args) => measure::run(args),
            Self::Explain(args) => explain::run(args, screen),
            Self::Export(args) => export::run(&args, screen),
            Self::Trace(args) => trace::run(&args, screen),
            Self::List(args) => list::run(&args, screen),
            Self::Init(args) => init::run(&args),
            Self::Policies(args) => policies::run(&args, screen),
            Self::Rank(args) => rank::run(&args, screen),
            Self::Diff(args) => diff::run(&args, screen),
            Self::Columns(args) => columns::run(&args, screen),
            Self::Completions(args) => manual::completions(&args, Cli::command()),
            Self::Man(args) => manual::man(&args, Cli::command()),
        }
    }
}
