//! `loadgen`: compares routing policies on a live fleet and in virtual time.

mod advise;
mod capacity;
mod classes;
mod cli;
mod compare;
mod config;
mod csv;
mod deploy;
mod devices;
mod drive;
mod economics;
mod explain;
mod fidelity;
mod files;
mod fleet;
mod generations;
mod grid;
mod groups;
mod identities;
mod links;
mod measure;
#[cfg(test)]
mod outage;
mod owners;
mod parallel;
mod progress;
mod question;
mod replay;
mod results;
mod rows;
mod run;
mod sharing;
mod simulate;
mod source;
mod stats;
mod table;
mod tiers;
mod variant;

use anyhow::Result;
use cli::{Cli, Command};
use config::Setup;
use files::PendingFile;
use progress::Progress;
use results::{Report, Results, SCHEMA};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::PolicyConfig;

fn main() -> ExitCode {
    // Only what a person must know; RUST_LOG says otherwise.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let cli = Cli::from_command_line().map_err(files::bad);
    match cli.and_then(|cli| dispatch(cli.command)) {
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
            let mut setup = Setup::resolve(&args.what)?;
            let files = Files::of(&args.what)?;
            let play = |setup: &Setup| compare::compare(&args, setup, &progress);
            let results = variant::each(&mut setup, play)?;
            let about = About::of(&setup);
            finish(setup, results, &about, files)
        }
        Command::Sim(args) => {
            let mut setup = Setup::resolve(&args.what)?;
            let files = Files::of(&args.what)?;
            let play = |setup: &Setup| simulate::all(&args, setup, &progress);
            let results = variant::each(&mut setup, play)?;
            let about = About::of(&setup);
            finish(setup, results, &about, files)
        }
        Command::Run(args) => {
            let what = &args.what;
            let files = Files::at(what.json.as_deref(), None, what.parquet.as_deref())?;
            let (config, run) = run::run(&args, &progress)?;
            let notes = run::notes(&config, &run);
            let results = Results { runs: vec![run], notes, ..Results::default() };
            let about = About {
                title: format!(
                    "{}, seed {}, nonce {}, against {} at speedup {}",
                    config.source.name(),
                    config.seed,
                    config.nonce,
                    config.target,
                    config.speedup
                ),
                slo: run::SLO,
                baseline: None,
            };
            finish(config, results, &about, files)
        }
        Command::Advise(args) => advise::run(&args, &progress),
        Command::Generations(args) => generations::run(&args, &progress),
        Command::Sharing(args) => sharing::run(&args, &progress),
        Command::Replay(args) => replay::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Fidelity(args) => fidelity::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Fit(args) => fidelity::fit(&args).map(|()| ExitCode::SUCCESS),
        Command::Explain(args) => explain::run(args).map(|()| ExitCode::SUCCESS),
    }
}

/// Files that are written at the end, and whose places are tried out before the work begins.
struct Files {
    json: Option<PendingFile>,
    csv: Option<PendingFile>,
    parquet: Option<PendingFile>,
}

impl Files {
    fn of(what: &cli::What) -> Result<Self> {
        Self::at(what.json.as_deref(), what.csv.as_deref(), what.parquet.as_deref())
    }

    fn at(json: Option<&Path>, csv: Option<&Path>, parquet: Option<&Path>) -> Result<Self> {
        for (flag, path, before) in
            [("--csv", csv, [json, None]), ("--parquet", parquet, [json, csv])]
        {
            if let Some(path) = path.filter(|&path| before.contains(&Some(path))) {
                let why = "written for another flag, expected a file each";
                return Err(files::bad(format!("{flag}: {} is {why}", path.display())));
            }
        }
        Ok(Self { json: pending(json)?, csv: pending(csv)?, parquet: pending(parquet)? })
    }
}

fn pending(path: Option<&Path>) -> Result<Option<PendingFile>> {
    path.map(PendingFile::create).transpose()
}

/// What stands above and below the tables.
struct About {
    title: String,
    slo: Slo,
    baseline: Option<PolicyConfig>,
}

impl About {
    fn of(setup: &Setup) -> Self {
        let title = format!(
            "{}, {}, blocks of {}, seed {}{}",
            setup.source.name(),
            setup.title(),
            setup.fleet.profile().block_size,
            setup.seed,
            if setup.tick_jitter { ", tick jitter" } else { "" }
        );
        Self { title, slo: setup.slo, baseline: Some(setup.baseline) }
    }
}

/// Prints the tables and writes the files. A run that is not valid, or that answered nothing, is a
/// failure.
fn finish(
    config: impl Serialize,
    results: Results,
    about: &About,
    files: Files,
) -> Result<ExitCode> {
    let About { title, slo, baseline } = about;
    print!("{}", table::render(title, &results, slo, *baseline));
    let valid = results.runs.iter().all(|run| run.valid && run.figures.requests > 0);
    if let Some(file) = files.csv {
        file.finish(csv::render(&results.runs).as_bytes())?;
    }
    if let Some(file) = files.parquet {
        let origin = rows::Origin { config: serde_json::to_string(&config)? };
        rows::write(file, &origin, &results.runs)?;
    }
    if let Some(file) = files.json {
        file.finish(&Report { schema: SCHEMA, config, results }.to_json()?)?;
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
