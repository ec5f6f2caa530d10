//! `loadgen`: compares routing policies on a live fleet and in virtual time.

mod cli;
mod compare;
mod config;
mod drive;
mod files;
mod fleet;
mod progress;
mod replay;
mod results;
mod run;
mod simulate;
mod source;
mod table;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Command};
use config::Setup;
use files::PendingFile;
use progress::Progress;
use results::{Report, RunReport, SCHEMA};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use warmpath_core::report::Slo;

fn main() -> ExitCode {
    // Only what a person must know; RUST_LOG says otherwise.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
            if error.is::<files::BadInput>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    let progress = Progress;
    match command {
        Command::Compare(args) => {
            let setup = Setup::resolve(&args.what)?;
            let json = pending(args.what.json.as_deref())?;
            let runs = compare::compare(&args, &setup, &progress)?;
            let slo = setup.slo;
            finish(setup, runs, &slo, json)
        }
        Command::Sim(args) => {
            let setup = Setup::resolve(&args.what)?;
            let json = pending(args.what.json.as_deref())?;
            let runs = simulate::all(&args, &setup, &progress)?;
            let slo = setup.slo;
            finish(setup, runs, &slo, json)
        }
        Command::Run(args) => {
            let json = pending(args.what.json.as_deref())?;
            let (config, run) = run::run(&args, &progress)?;
            finish(config, vec![run], &run::SLO, json)
        }
        Command::Replay(args) => replay::run(&args).map(|()| ExitCode::SUCCESS),
    }
}

fn pending(path: Option<&Path>) -> Result<Option<PendingFile>> {
    path.map(PendingFile::create).transpose()
}

/// Prints the table and writes the JSON. A run that is not valid is a failure.
fn finish(
    config: impl Serialize,
    runs: Vec<RunReport>,
    slo: &Slo,
    json: Option<PendingFile>,
) -> Result<ExitCode> {
    print!("{}", table::render(&runs, slo));
    let valid = runs.iter().all(|run| run.valid);
    if let Some(file) = json {
        file.finish(&Report { schema: SCHEMA, config, runs }.to_json()?)?;
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
