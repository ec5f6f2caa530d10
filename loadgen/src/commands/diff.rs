//! `loadgen diff`: the command of [`crate::studies::diff`].

use crate::files::bad;
use crate::report::Screen;
use crate::studies::diff::{self, Read, StudySide};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares two reports: the same rows side by side, with differences, and the settings that differ
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, a fleet with more memory for KV:
  loadgen sim --workload chat --json a.json
  loadgen sim --workload chat --hbm-tokens 400_000 --json b.json
  loadgen diff a.json b.json --html diff.html")]
pub struct Args {
    /// Report of --json: of `sim`, `compare` or `run`, of `sharing`, or of `advise`
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// Report of the same kind to compare with it
    #[arg(value_name = "B")]
    pub after: PathBuf,
}

pub fn run(args: &Args, screen: Screen) -> Result<ExitCode> {
    let (one, other) = (args.before.display(), args.after.display());
    let (before, after) = match (diff::read(&args.before)?, diff::read(&args.after)?) {
        (Read::Runs(before), Read::Runs(after)) => (before, after),
        (Read::Study(before), Read::Study(after))
            if before.study.kind.command == after.study.kind.command =>
        {
            return studies(&before, &after, screen);
        }
        (before, after) => {
            let (before, after) = (before.command(), after.command());
            let why = format!("reports of {before} and of {after}, expected two of one kind");
            return Err(bad(format!("{one} and {other}: {why}")));
        }
    };
    let pairs = diff::pairs(&before, &after);
    if pairs.is_empty() {
        let why = "no row of the same policy, mode and rate, expected at least one";
        return Err(bad(format!("{one} and {other}: {why}")));
    }
    let page = diff::page(&before, &after, &pairs);
    screen.show_with(&page, |document| diff::add(document, &before, &after, &pairs))?;
    Ok(ExitCode::SUCCESS)
}

fn studies(before: &StudySide, after: &StudySide, screen: Screen) -> Result<ExitCode> {
    let twins = diff::twins(before, after);
    if twins.is_empty() {
        let why = format!("no {} of the same name, expected at least one", before.study.kind.of);
        return Err(bad(format!("{} and {}: {why}", before.name, after.name)));
    }
    let page = diff::study_page(before, after, &twins);
    screen.show_with(&page, |document| diff::add_study(document, before, after, &twins))?;
    Ok(ExitCode::SUCCESS)
}
