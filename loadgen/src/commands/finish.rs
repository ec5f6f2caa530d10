//! The end of a command that plays: tables, files, exit status.

use crate::args::What;
use crate::figures::Results;
use crate::play::{RunOptions, variants};
use crate::report::{self, Asked, OutputFiles, OutputPaths, Report, SCHEMA, Screen, print};
use crate::setup::Setup;
use anyhow::Result;
use serde::Serialize;
use std::process::ExitCode;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_html::Document;

/// Plays what the flags name, every variant of it, and ends the command.
pub fn each_variant(
    what: &What,
    screen: Screen,
    play: impl Fn(&Setup, &RunOptions) -> Result<Results>,
) -> Result<ExitCode> {
    let setup = Setup::resolve(what)?;
    let paths = OutputPaths {
        json: what.json.as_deref(),
        csv: what.csv.as_deref(),
        parquet: what.parquet.as_deref(),
        benchmark_report: what.benchmark_report.as_deref(),
    };
    let files = OutputFiles::at(paths, screen)?;
    let options = RunOptions {
        rows: what.parquet.is_some(),
        sketch: screen.draws() || what.benchmark_report.is_some(),
        bounds: true,
        ..RunOptions::default()
    };
    let results = variants::each(&setup, &options, play)?;
    let about = About::of(&setup);
    finish(setup, results, &about, files, screen)
}

/// What is printed above and below the tables.
pub struct About {
    pub title: String,
    pub slo: Slo,
    pub baseline: Option<NamedPolicy>,
    /// Sessions that run at the same time, in a closed loop.
    pub concurrency: Option<u32>,
}

impl About {
    pub fn of(setup: &Setup) -> Self {
        let title = format!(
            "{}, {}, blocks of {}, seed {}{}",
            setup.source.name(),
            setup.title(),
            setup.fleet.profile().block_size,
            setup.seed,
            if setup.tick_jitter { ", tick jitter" } else { "" }
        );
        Self {
            title,
            slo: setup.slo,
            baseline: Some(setup.baseline.clone()),
            concurrency: setup.source.concurrency(),
        }
    }
}

/// Prints the tables and writes the files. The exit status is a failure if a run is not valid or
/// answered no request.
pub fn finish(
    config: impl Serialize,
    results: Results,
    about: &About,
    files: OutputFiles,
    screen: Screen,
) -> Result<ExitCode> {
    finish_with(config, results, about, files, screen, |document, results| {
        report::html::add_runs(
            document,
            &about.title,
            results,
            &about.slo,
            about.baseline.as_ref(),
        );
    })
}

/// The same; the HTML file has what `draw` adds.
pub fn finish_with(
    config: impl Serialize,
    results: Results,
    about: &About,
    files: OutputFiles,
    screen: Screen,
    draw: impl FnOnce(&mut Document, &Results),
) -> Result<ExitCode> {
    let About { title, slo, baseline, concurrency } = about;
    let page = report::page(title, &results, slo, baseline.as_ref());
    screen.show_with(&page, |document| draw(document, &results))?;
    if let Some(width) = screen.blocks() {
        print(&report::blocks(&results, baseline.as_ref(), width))?;
    }
    let valid = results.runs.iter().all(|run| run.valid && run.figures.requests > 0);
    if let Some(file) = files.csv {
        file.finish(report::csv(&results.runs).as_bytes())?;
    }
    if let Some(file) = files.parquet {
        let origin = report::Origin { config: serde_json::to_string(&config)? };
        report::write_requests(file, &origin, &results.runs)?;
    }
    if let Some(file) = files.benchmark_report {
        let asked =
            Asked { config: serde_json::to_value(&config)?, slo: *slo, concurrency: *concurrency };
        file.finish(&asked, &results.runs)?;
    }
    if let Some(file) = files.json {
        file.finish(&Report { schema: SCHEMA, config, results }.to_json()?)?;
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
