//! `loadgen diff`: the command of [`crate::studies::diff`].

use crate::files::bad;
use crate::report::Screen;
use crate::studies::diff;
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
    /// Report of `sim --json`, `compare --json` or `run --json`
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// Report to compare with it
    #[arg(value_name = "B")]
    pub after: PathBuf,
}

pub fn run(args: &Args, screen: Screen) -> Result<ExitCode> {
    let (before, after) = (diff::read(&args.before)?, diff::read(&args.after)?);
    let pairs = diff::pairs(&before, &after);
    if pairs.is_empty() {
        let (one, other) = (args.before.display(), args.after.display());
        let why = "no row of the same policy, mode and rate, expected at least one";
        return Err(bad(format!("{one} and {other}: {why}")));
    }
    let page = diff::page(&before, &after, &pairs);
    screen.show_with(&page, |document| diff::add(document, &before, &after, &pairs))?;
    Ok(ExitCode::SUCCESS)
}
